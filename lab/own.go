package lab

// own are the cases that need the words of a protocol: see [starttls.Mover].
var own = []Case{
	mine("inject-pre", 30, "data that nobody asked for", "says, before TLS, data that it was not asked for, with a word in it that shows who uses it", "its server says nothing unasked before TLS", "CVE-2021-29969", "CVE-2021-38370", "CVE-2026-103878"),
	mine("inject-pre-starttls", 30, "data before the consent", "says data that it was not asked for before its consent, with a word in it that shows who uses it", "its server says nothing unasked before TLS", "CVE-2021-29969", "CVE-2021-38370"),
	mine("inject-codes", 30, "alerts before TLS", "says alerts and response codes before TLS", "it has no alerts", "RFC 9051 section 7.1"),
	mine("preauth", 32, "the session begins signed in", "greets the client as one who has signed in, where TLS can not be asked for", "its sessions do not begin signed in", "RFC 9051 section 7.1.4", "CVE-2020-12398", "CVE-2020-14093", "CVE-2021-39272", "CVE-2014-2567", "CVE-2021-22946"),
	mine("preauth-hidden", 32, "the session begins signed in, without TLS", "greets the client as one who has signed in, and lists no TLS", "its sessions do not begin signed in", "RFC 9051 section 7.1.4", "CVE-2020-14093"),
	mine("preauth-bare", 32, "the session begins signed in, without a list", "greets the client as one who has signed in, and lists nothing", "its sessions do not begin signed in", "RFC 9051 section 7.1.4", "CVE-2021-39272"),
	mine("redirect", 33, "the client is sent elsewhere", "sends the client elsewhere before TLS, where nobody may turn up", "nothing in it sends a client elsewhere before TLS", "RFC 2221", "RFC 6120 section 4.9.3.19", "RFC 4511 section 4.1.10"),
	mine("redirect-bye", 33, "the client is sent elsewhere, with a bye", "sends the client elsewhere and closes", "nothing in it sends a client elsewhere with a bye", "RFC 2221"),
	mine("redirect-starttls", 33, "the client is sent elsewhere at its request", "answers the request for TLS by sending the client elsewhere", "nothing in it answers a request for TLS so", "RFC 5804 section 1.3"),
	mine("redirect-login", 33, "the client is sent elsewhere when it signs in", "hides TLS, and answers a sign-in in clear by sending the client elsewhere", "nothing in it answers a sign-in so", "RFC 2221"),
	mine("redirect-mailbox", 33, "the client is sent elsewhere for a mailbox", "hides TLS, and answers a choice of mailbox in clear by sending the client elsewhere", "it has no mailboxes", "RFC 2193"),
	{ID: "dns", Number: 40, Title: "names lead elsewhere", Does: "answers questions for names (MX, SRV, CNAME) with others", Own: true, Without: "it is a lie about names: nothing on the connection shows it"},

	mine("ehlo-unknown", 0, "EHLO is not known", "answers EHLO with 502, and HELO as ever", withoutEHLO, "RFC 3207 section 6"),
	mine("ehlo-refused", 0, "EHLO is refused", "answers EHLO with 550, and HELO as ever", withoutEHLO),
	mine("ehlo-insists", 0, "EHLO is answered by 530", "answers EHLO with 530, and HELO as ever", withoutEHLO),
	mine("ehlo-busy", 0, "EHLO is put off", "answers EHLO with 421, and HELO as ever", withoutEHLO),
	mine("ehlo-more", 0, "EHLO is answered by 354", "answers EHLO with 354, and HELO as ever", withoutEHLO),
	mine("ehlo-bye", 0, "EHLO is answered by a bye", "answers EHLO with 221, and HELO as ever", withoutEHLO),
	mine("ehlo-bare", 0, "EHLO has no list", "answers EHLO with 250 alone", withoutEHLO),
	mine("offer-first-line", 0, "the offer stands in the first line", "lists TLS where the server's name stands, and refuses it", withoutEHLO, "RFC 5321 section 4.1.1.1"),
	mine("greeting-plain", 0, "a greeting without ESMTP", "greets without the word ESMTP, and lists no TLS", "its greeting does not tell its extensions"),
	mine("greeting-busy", 0, "a greeting that puts off", "greets with 421, and goes on", withoutGreeting),
	mine("greeting-refused", 0, "a greeting that refuses", "greets with a refusal, and goes on", withoutGreeting),
	mine("greeting-more", 0, "a greeting that asks for more", "greets with 354, and goes on", withoutGreeting),
	mine("greeting-apop", 0, "a greeting with a challenge", "greets with a challenge for APOP, and lists no TLS", "its greeting has no challenge"),
	mine("greeting-prefix", 0, "a greeting that begins as one", "greets with a word of which the right one is but the beginning", withoutGreeting),
	mine("greeting-odd", 0, "a greeting that is none", "greets with another word", withoutGreeting),
	mine("caps-refused", 0, "the list is not known", "does not know the command that asks for its capabilities", "generic cases refuse what tells its capabilities", "CVE-2021-22946"),
	mine("caps-old", 0, "the list of an old server", "lists versions from before TLS alone", "it has no versions from before TLS to list"),
	mine("caps-no-login", 0, "no TLS, and no signing in", "lists no TLS, and that nobody may sign in", "it does not list that nobody may sign in", "RFC 9051 section 6.2.3"),
	mine("error-syntax", 0, "TLS is answered by 501", "answers the request with a syntax error", withoutCode),
	mine("error-registered", 0, "TLS is answered by 451", "answers the request as one that comes too early", withoutCode),
	mine("error-mechanism", 0, "TLS is answered by 504", "answers the request as one for an unknown mechanism", withoutCode, "RFC 4217 section 4"),
	mine("error-policy", 0, "TLS is answered by 534", "answers the request as one against its policy", withoutCode, "RFC 4217 section 4"),
	mine("error-resources", 0, "TLS is answered by 431", "answers the request as one that it lacks resources for", withoutCode, "RFC 4217 section 4"),
	mine("error-unwilling", 0, "TLS is answered by unwillingToPerform", "answers the request with unwillingToPerform", withoutCode, "RFC 4511 appendix A"),
	mine("error-busy", 0, "TLS is answered by busy", "answers the request with busy", withoutCode, "RFC 4511 appendix A"),
	mine("notice", 0, "the notice of disconnection", "answers the request with a notice of disconnection, and goes on", withoutCode, "RFC 4511 section 4.4.1"),
	mine("error-message", 0, "an error with a text", "answers the request with an error whose text is nobody's to believe", withoutCode, "CVE-2024-10977"),
	mine("error-old", 0, "an error of the old protocol", "answers the request with the text of an error of an older protocol", withoutCode, "CVE-2024-10977"),
	mine("gss-promised", 0, "GSSAPI is promised", "grants encryption by GSSAPI, which it does not have", "it has no encryption by GSSAPI before TLS"),
	mine("ask-md5", 0, "a digest is asked for in clear", "hides TLS, and asks for a digest of the password", "it does not ask for a digest of the password"),
	mine("ask-clear", 0, "the password itself is asked for in clear", "hides TLS, and asks for the password itself", "generic cases offer signing in with the password", "CVE-2015-3152"),
	mine("inject-resp-raw", 27, "bytes that are no text behind the consent", "says bytes that are no text behind its consent", "inject-resp has the answer that its clients wait for"),
	mine("inject-space", 27, "white space and features behind the consent", "says white space and stream features behind its consent", "it is not XML", "RFC 6120 section 5.3.3"),
	mine("pbsz-refused", 0, "protection of data is not known", "does not know PBSZ and PROT inside TLS", withoutData, "RFC 4217 section 9"),
	mine("prot-refused", 0, "protection of data is refused", "refuses PROT P inside TLS", withoutData, "RFC 4217 section 9"),
	mine("prot-unsupported", 0, "protection of data is not possible", "answers PROT P with 536 inside TLS", withoutData, "RFC 4217 section 9"),
	mine("ccc", 0, "leaving TLS is offered", "lists CCC inside TLS, by which the control connection goes back to clear", withoutData, "RFC 4217 section 12"),
	mine("sts-forged", 0, "a forged policy", "lists a policy for strict TLS that names the port for cleartext", "it has no such policy", "IRCv3 sts"),
	mine("host-gone", 0, "the domain is gone", "ends the stream with host-gone before TLS", "it has no such error"),
	mine("legacy-auth", 0, "the old way to sign in", "hides TLS, and lists the way to sign in from before SASL", "it has no older way to list"),
	mine("compress-first", 0, "compression comes first", "hides TLS, and lists compression", "it has no compression before TLS", "CVE-2014-8760"),
	mine("version-none", 0, "a stream from before 1.0", "hides TLS, in a stream without a version", "it has no version to leave out"),
	mine("upgrade-ignored", 0, "the upgrade is ignored", "answers the request with 200", withoutUpgrade, "RFC 2817 section 3"),
	mine("upgrade-none", 0, "the upgrade is to nothing", "answers the request with 101 that names no protocol", withoutUpgrade),
	mine("upgrade-other", 0, "the upgrade is to something else", "answers the request with 101 that names h2c", withoutUpgrade),
	mine("upgrade-again", 0, "the upgrade is asked for again", "answers every request with 426", withoutUpgrade),
	mine("newstyle-old", 0, "the negotiation of an old server", "has the negotiation in which no option can be refused, and no TLS", "it has no older negotiation"),
	mine("subtypes-plain", 0, "a password without TLS", "offers of VeNCrypt the password in clear alone", "it has no such types"),
	mine("subtypes-anonymous", 0, "TLS without a certificate", "offers of VeNCrypt what has no certificate alone", "it has no such types"),
	mine("layer-plain", 0, "another layer", "answers the request with the header of AMQP without TLS", "it has no layers"),
	mine("layer-sasl", 0, "the layer of SASL", "answers the request with the header of SASL without TLS", "it has no layers"),
	mine("own-encryption", 0, "an encryption of its own", "chooses the protocol's own encryption in the place of TLS", "it has no encryption of its own"),
	mine("no-negotiation", 0, "no choice at all", "answers as a server from before the negotiation", "it has no older negotiation"),
	mine("verifier-none", 0, "an answer without the word", "answers the call without the word that grants TLS", "its consent is another", "RFC 9289 section 4.1"),
	mine("verifier-other", 0, "an answer with another word", "answers the call with another word than the one that grants TLS", "its consent is another", "RFC 9289 section 4.1"),
}

// Reasons that several have.
const (
	withoutEHLO     = "it has no EHLO, from which clients fall back"
	withoutGreeting = "it has no such greeting"
	withoutCode     = "the generic cases have its refusals (error-perm, error-temp)"
	withoutData     = "it has no data connections"
	withoutUpgrade  = "its request is no HTTP"
)

func mine(id string, number int, title, does, without string, references ...string) Case {
	return Case{ID: id, Number: number, Title: title, Does: does, Own: true, Without: without, References: references}
}
