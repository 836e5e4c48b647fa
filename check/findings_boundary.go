package check

// What a server does with cleartext where TLS is due, and other faults of the
// boundary.
var boundaryFindings = []entry{
	{"greeting-in-tls", by{Low, Low, Low}, "The server greets again inside TLS",
		"The protocol has no greeting there. Client and server may from then on take each other's words for the answer to something else, which an attacker can make use of (Opossum).",
		"Update the server: after the upgrade it waits for the client.", []string{"RFC 3207 section 4.2", "https://opossum-attack.com"}},
	{"clear-after-go-ahead", by{High, High, High}, "After its go-ahead the server goes on in cleartext",
		"A command in clear in the place of the handshake is answered, and the session goes on without TLS. Whoever makes the handshake fail keeps the client in clear.",
		"Let the server close the connection when the handshake fails.", []string{"RFC 6120 section 5.4.3.2", "RFC 4642 section 2.2.2", "RFC 6251 section 2"}},
	{"clear-in-tls", by{High, High, High}, "Cleartext between TLS records is obeyed",
		"The server obeys a command that was put into the connection in clear, outside of TLS.",
		"Update the server: what is no TLS record ends the connection.", []string{"RFC 8446 section 5.1"}},
	{"clear-after-tls", by{Medium, Medium, Medium}, "The session goes on in cleartext after the end of TLS",
		"After TLS was closed the server obeys commands in clear, perhaps with the rights that were gained inside TLS.",
		"Let the server close the connection with TLS.", []string{"RFC 8446 section 6.1", "CVE-2026-45185"}},
	{"opossum", by{Info, Info, High}, "The port that upgrades takes sessions that are meant for the port that begins with TLS",
		"An attacker on the path can lead a client of the other port here, in front of a request of his own. With HTTP the answers are then off by one, and a page is taken for another; with protocols in which the server speaks first nobody has shown such a thing.",
		"Switch the upgrade off where the other port is served (HTTP: Apache removed it in 2.4.64), or give the two forms different names and keys.", []string{"https://opossum-attack.com", "CVE-2025-49812"}},
}
