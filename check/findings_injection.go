package check

// Commands from before the handshake that are answered inside TLS. An attacker
// on the path puts them there; what he gets depends on the protocol: a message
// sent in the victim's name, a password written into the attacker's mailbox.

const injectionWhy = "Whoever sits on the path can put commands into the victim's session, before its own first one: to be sent mail in the victim's name, or to have its password stored as content."

const injectionFix = "Update the server; if it is your own, empty the input buffer when TLS begins, or close the connection if anything is in it."

var injectionRefs = []string{"CVE-2011-0411", "RFC 3207 section 6", "RFC 9051 section 6.2.1", "https://nostarttls.secvuln.info"}

var injectionFindings = []entry{
	{"inject-segment", by{High, High, High}, "A command sent in clear with the request for TLS is answered inside TLS", injectionWhy, injectionFix, injectionRefs},
	{"inject-delayed", by{High, High, High}, "A command sent in clear shortly after the request for TLS is answered inside TLS",
		injectionWhy + " The server reads on in another thread while the upgrade is under way.", injectionFix, []string{"CVE-2021-38542", "CVE-2016-10027"}},
	{"inject-after-ok", by{High, High, High}, "A command sent in clear after the go-ahead is answered inside TLS", injectionWhy, injectionFix, injectionRefs},
	{"inject-partial-line", by{High, High, High}, "A line begun in clear goes on inside TLS",
		"The beginning of a line that was sent in clear is joined to the first one inside TLS. " + injectionWhy, injectionFix, injectionRefs},
	{"inject-prefix", by{Medium, Medium, Medium}, "The answer to a command from before TLS arrives inside TLS",
		"The server keeps its output across the handshake: what it said in clear can be put in the place of what it says inside TLS.",
		"Update the server; if it is your own, flush the output before the go-ahead.", []string{"RFC 3207 section 4.2"}},
	{"inject-parser", by{High, High, High}, "A command behind an oddly written request for TLS is answered inside TLS",
		"A filter that knows the request only as it is usually written is passed by. " + injectionWhy, injectionFix, injectionRefs},
	{"inject-race", by{High, High, High}, "A command in clear is answered inside TLS, depending on how the bytes are cut",
		injectionWhy, injectionFix, []string{"CVE-2021-38542"}},
}
