package check

// What a path does to the upgrade, as a reflector of one's own shows it from both
// ends (Reflect).
var pathFindings = []entry{
	{"path-unchanged", by{Info, Info, Info}, "The path changes nothing",
		"What was sent arrived as it was sent, in both directions, and TLS is held with the reflector itself.",
		"Nothing needs to be done.", nil},
	{"path-intercepts", by{High, High, High}, "Somebody on the path answers in the server's place",
		"TLS is held with another key than the reflector's, or no connection arrives there at all while somebody answers: a proxy, a virus scanner or an attacker reads all that is said.",
		"Find the device: a firewall's inspection of encrypted mail, or the mail shield of a virus scanner, mostly; switch it off for this port.", []string{"RFC 3207 section 6", "RFC 9325 section 3.2"}},
	{"path-strips", by{High, High, High}, "The path removes the offer of TLS",
		"The reflector offers TLS, and the offer does not arrive: clients that take TLS if they can go in clear.",
		"Switch off the inspection of this protocol in the firewall between, or use the port that begins with TLS.", []string{"RFC 3207 section 6", "RFC 8314"}},
	{"path-masks", by{High, High, High}, "The path overwrites words",
		"Words of what is sent arrive as one letter repeated, of the same length: a firewall hides what it does not want used, and the usual victim is STARTTLS.",
		"Switch off the inspection of this protocol in the firewall between (\"inspect esmtp\" on a Cisco ASA), or allow TLS through it.", []string{"RFC 3207 section 6"}},
	{"path-refuses", by{High, High, High}, "The path refuses TLS",
		"The request for TLS, or the handshake, is refused with words that the reflector never said.",
		"Find the device that answers in the server's place, and let TLS pass it.", []string{"RFC 3207 section 6"}},
	{"path-injects", by{High, High, High}, "The path adds to what is said",
		"More arrives than was sent. What is put behind the consent to TLS is meant to be taken for something said inside it.",
		"Find the device, and keep off this path until then.", []string{"CVE-2011-0411", "CVE-2021-38371"}},
	{"path-drops", by{High, High, High}, "The path ends the connection",
		"The connection is not made, ends, or falls silent on the way, and the reflector has not ended it: a firewall that does not want this protocol or TLS in it.",
		"Let TLS pass the firewall, or use another port (587 for port 25 from a provider's network).", nil},
	{"path-rewrites", by{Medium, Medium, Medium}, "The path rewrites what is said",
		"Something arrives as something else. Even where that is harmless, a device speaks the protocol in between, and can do anything else to it.",
		"Find the device, and see what else it does.", nil},
	{"path-changes-hello", by{Medium, Medium, Medium}, "The path changes the beginning of TLS",
		"The ClientHello that arrives is not the one that was sent: TLS is ended and begun anew on the way, or a device leaves out what it does not know.",
		"Find the device. Where the certificate is the reflector's own, the handshake that follows fails.", []string{"RFC 8446 section 9.3"}},
}

// pathOutcomes are the outcomes of these findings, gravest first.
var pathOutcomes = []struct {
	id      string
	outcome Outcome
}{
	{"path-intercepts", Intercepted}, {"path-masks", Stripped}, {"path-strips", Stripped}, {"path-injects", Injected}, {"path-refuses", Refused}, {"path-drops", Closed}, {"path-changes-hello", HandshakeFailed},
}
