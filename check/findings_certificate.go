package check

// What can be wrong with the certificate.
var certificateFindings = []entry{
	{"cert-expired", by{High, Low, High}, "The certificate has expired",
		"Clients that verify refuse the connection.", "Renew the certificate, and have it renewed by itself.", []string{"RFC 5280 section 4.1.2.5"}},
	{"cert-not-yet-valid", by{High, Low, High}, "The certificate is not valid yet",
		"Clients that verify refuse the connection.", "Set the clock of the server, or of the machine that issued the certificate.", []string{"RFC 5280 section 4.1.2.5"}},
	{"cert-name", by{High, Low, High}, "The certificate is for another name",
		"Clients that verify refuse the connection: the certificate does not prove who they talk to.",
		"Get a certificate with the name that clients use, or tell clients the name in the certificate.", []string{"RFC 9525"}},
	{"cert-self-signed", by{High, Info, High}, "The certificate is self-signed",
		"Nobody but those who were given the certificate can verify it.",
		"Get a certificate from an authority that clients trust, or give clients this one (--ca FILE checks as they would).", []string{"RFC 5280 section 6"}},
	{"cert-untrusted", by{High, Low, High}, "The certificate is from an unknown authority",
		"No chain leads to a trusted root: the authority is private, or an intermediate certificate is not served.",
		"Serve the intermediate certificates too, or check with --ca FILE if the authority is your own.", []string{"RFC 5280 section 6"}},
	{"cert-expires-soon", by{Medium, Low, Medium}, "The certificate expires soon",
		"By this time it should have been renewed.", "Renew the certificate, and find out why that did not happen by itself.", nil},
	{"cert-no-server-auth", by{Medium, Low, Medium}, "The certificate is not for servers",
		"Its extended key usage does not allow a server to use it; some clients refuse it.",
		"Get a certificate with the usage serverAuth.", []string{"RFC 5280 section 4.2.1.12"}},
	{"cert-is-ca", by{Low, Info, Low}, "The server's certificate is that of an authority",
		"A server that uses an authority's key puts all that the authority signs at risk.",
		"Issue the server a certificate of its own.", []string{"RFC 5280 section 4.2.1.9"}},
}
