package check

import "slices"

// An entry of the catalogue is all that is constant about a finding. Its id
// never changes its meaning.
type entry struct {
	id     string
	access Severity // where clients sign in or ask: TLS must be there
	relay  Severity // between servers, where senders fall back to cleartext anyway
	title  string
	why    string
	fix    string
	refs   []string
}

// catalogue is the one list of findings; docs/findings.md is printed from it.
var catalogue = []entry{
	{"not-offered", High, Medium, "TLS is not offered",
		"The server does not say that it can upgrade to TLS, and everything goes in clear: content, and passwords where clients sign in.",
		"Give the server a certificate and switch STARTTLS on.", []string{"RFC 3207", "RFC 8314 section 4.1"}},
	{"masked-keyword", High, High, "The offer of TLS was overwritten on the way",
		"Among the capabilities stands a word made of one repeated letter, of the length of another: a middlebox overwrites what it does not want seen, and the usual victim is STARTTLS.",
		"Switch off the inspection of this protocol in the firewall between (\"inspect esmtp\" on a Cisco ASA), or allow TLS through it.", []string{"RFC 3207 section 6"}},
	{"offer-removed", High, High, "TLS is accepted, but its offer does not arrive",
		"The server does not list TLS, yet it upgrades when asked. Either it is configured so, or something on the way removes the offer to keep clients in clear.",
		"Compare with the server's own list from inside its network; then fix the server, or the path.", []string{"RFC 9325 section 3.2"}},
	{"refused", High, Medium, "TLS is offered and refused",
		"The server offers TLS and declines when it is asked for it: mostly a key or certificate that can not be read.",
		"Look into the server's log at the time of this check; the certificate or key file is the first suspect.", []string{"RFC 3207 section 4"}},
	{"already-authenticated", High, High, "The session begins as already signed in",
		"The server opened the session as signed in, in clear, where TLS can no longer be asked for. An attacker on the path uses just this to keep a client from upgrading.",
		"Let the server pre-authenticate connections only inside TLS.", []string{"RFC 9051 section 7.1.4", "CVE-2020-12398"}},
	{"reply-injected", High, High, "Cleartext follows the go-ahead",
		"Behind the server's consent to TLS came more cleartext in the same piece. A careless client takes it for something said inside TLS.",
		"If the server does not send it itself, somebody on the path injects it: check from another network.", []string{"CVE-2011-0411", "RFC 3207 section 6"}},
	{"cleartext-after-go-ahead", High, Medium, "The server goes on in cleartext after its go-ahead",
		"The server consented to TLS and then sent something else than TLS.",
		"Look into the server's log: TLS did not start. A missing or unreadable key is the usual cause.", []string{"RFC 3207 section 4"}},
	{"handshake-failed", High, Medium, "The TLS handshake fails",
		"No common version, cipher or signature was found, the handshake broke off, or a port that should begin with TLS speaks something else.",
		"Allow TLS 1.2 and 1.3 with the server's default ciphers, and see that the port is meant for TLS.", []string{"RFC 9325 section 3.1"}},
	{"closed", Medium, Medium, "The server closes the connection instead of upgrading it",
		"The server closed the connection when TLS was asked for.",
		"Look into the server's log at the time of this check.", nil},
	{"cert-expired", High, Low, "The certificate has expired",
		"Clients that verify refuse the connection.", "Renew the certificate, and have it renewed by itself.", []string{"RFC 5280 section 4.1.2.5"}},
	{"cert-not-yet-valid", High, Low, "The certificate is not valid yet",
		"Clients that verify refuse the connection.", "Set the clock of the server, or of the machine that issued the certificate.", []string{"RFC 5280 section 4.1.2.5"}},
	{"cert-name", High, Low, "The certificate is for another name",
		"Clients that verify refuse the connection: the certificate does not prove who they talk to.",
		"Get a certificate with the name that clients use, or tell clients the name in the certificate.", []string{"RFC 9525"}},
	{"cert-self-signed", High, Info, "The certificate is self-signed",
		"Nobody but those who were given the certificate can verify it.",
		"Get a certificate from an authority that clients trust, or give clients this one (--ca FILE checks as they would).", []string{"RFC 5280 section 6"}},
	{"cert-untrusted", High, Low, "The certificate is from an unknown authority",
		"No chain leads to a trusted root: the authority is private, or an intermediate certificate is not served.",
		"Serve the intermediate certificates too, or check with --ca FILE if the authority is your own.", []string{"RFC 5280 section 6"}},
	{"cert-expires-soon", Medium, Low, "The certificate expires soon",
		"By this time it should have been renewed.", "Renew the certificate, and find out why that did not happen by itself.", nil},
	{"cert-no-server-auth", Medium, Low, "The certificate is not for servers",
		"Its extended key usage does not allow a server to use it; some clients refuse it.",
		"Get a certificate with the usage serverAuth.", []string{"RFC 5280 section 4.2.1.12"}},
	{"cert-is-ca", Low, Info, "The server's certificate is that of an authority",
		"A server that uses an authority's key puts all that the authority signs at risk.",
		"Issue the server a certificate of its own.", []string{"RFC 5280 section 4.2.1.9"}},
	{"starttls-in-tls", Medium, Medium, "TLS is offered inside TLS",
		"The protocol forbids it. It mostly means that the server did not start anew after the handshake, and so may remember what was said in clear.",
		"Update the server, or the proxy in front of it.", []string{"RFC 3207 section 4.2", "RFC 4642 section 2.2.2", "RFC 6120 section 5.4.3.3"}},
	{"starttls-in-tls-allowed", Info, Info, "TLS is offered inside TLS, where the protocol allows it",
		"Useless, but no fault in this protocol.", "Nothing needs to be done.", nil},
	{"auth-before-tls", High, Medium, "Sign-in is offered before TLS",
		"A client that is not careful sends its password in clear.",
		"Let the server offer sign-in only inside TLS.", []string{"RFC 8314 section 4.1", "RFC 4954 section 4", "RFC 9051 section 11.2"}},
	{"old-tls", Medium, Low, "TLS 1.0 or 1.1 is accepted",
		"These versions are withdrawn. Between mail servers they still beat cleartext.",
		"Require TLS 1.2 at least.", []string{"RFC 8996"}},
	{"probe-failed", Medium, Medium, "The session does not live inside TLS",
		"The handshake succeeded, but the server did not go on inside TLS: it closed, refused the client for having no certificate, or gave no answer.",
		"Look into the server's log at the time of this check.", nil},
}

// find returns the catalogue's entry of that id. All ids used stand in it.
func find(id string) entry {
	i := slices.IndexFunc(catalogue, func(e entry) bool { return e.id == id })
	return catalogue[i]
}

// add appends the finding of that id as it weighs in the target's role.
func (r *run) add(id, detail string, evidence ...string) {
	e := find(id)
	s := e.access
	if r.relay() {
		s = e.relay
	}
	r.addAs(e, s, detail, evidence)
}

// addAs appends a finding once, however many connections show it.
func (r *run) addAs(e entry, s Severity, detail string, evidence []string) {
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == e.id }) {
		return
	}
	verdict := "warn"
	switch s {
	case Info:
		verdict = "info"
	case High:
		verdict = "vulnerable"
	}
	if detail == "" {
		detail = e.why
	}
	r.Findings = append(r.Findings, Finding{ID: e.id, Severity: s, Verdict: verdict, Title: e.title, Detail: detail,
		Evidence: append([]string{}, evidence...), References: append([]string{}, e.refs...), Fix: e.fix})
}
