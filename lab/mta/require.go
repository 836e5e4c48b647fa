package mta

// The ways in which an author says how a message is to be sent (RFC 8689).
const (
	requireTLS  = "REQUIRETLS"
	tlsRequired = "TLS-Required: No"
)

// requireCases are about messages whose author says what TLS must be.
var requireCases = []Case{
	{Case: words("requiretls-met", "REQUIRETLS, and a server that has it", "has TLSA records that are met, and a server that lists REQUIRETLS; the message is to be sent with it", rfc8689+" section 4.2.1"),
		Mail: requireTLS, must: true, stages: at(host{cert: stranger, tlsa: []string{"3 1 1 {spki}"}, caps: []string{requireTLS}})},
	{Case: words("requiretls-absent", "REQUIRETLS, and a server without it", "has TLSA records that are met, and a server that does not list REQUIRETLS; the message is to be sent with it", rfc8689+" section 4.2.1"),
		Mail: requireTLS, stages: at(host{cert: stranger, tlsa: []string{"3 1 1 {spki}"}, refuse: true})},
	{Case: words("requiretls-clear", "REQUIRETLS, and no TLS", "has a server that lists REQUIRETLS and offers no TLS; the message is to be sent with REQUIRETLS", rfc8689+" section 4.2.1"),
		Mail: requireTLS, stages: at(host{hide: true, caps: []string{requireTLS}, refuse: true})},
	{Case: words("requiretls-untrusted", "REQUIRETLS, and a certificate that nobody knows", "has a server that lists REQUIRETLS and whose certificate nobody knows; the message is to be sent with REQUIRETLS", rfc8689+" section 4.2.1"),
		Mail: requireTLS, stages: at(host{cert: stranger, caps: []string{requireTLS}, refuse: true})},
	{Case: words("requiretls-mx-unsigned", "REQUIRETLS, and an MX record that nobody vouches for", "has MX records without signatures, no MTA-STS policy, and a sound server that lists REQUIRETLS; the message is to be sent with it", rfc8689+" section 4.2.1"),
		Mail: requireTLS, unsigned: true, stages: at(host{caps: []string{requireTLS}, refuse: true})},
	{Case: words("tls-required-no", "TLS-Required: No, and a policy that is not met", "has a TLSA record of another key; the message says that policies do not matter", rfc8689+" section 5"),
		Header: tlsRequired, must: true, stages: at(host{tlsa: []string{"3 1 1 {other}"}})},
}

// reportCases are about what senders report.
var reportCases = []Case{
	{Case: words("tlsrpt-mail", "a report is wanted by mail", "has a TLSA record of another key, and wants reports of it by mail", rfc8460+" section 5.3"),
		report: "mail", stages: at(host{tlsa: []string{"3 1 1 {other}"}, refuse: true})},
	{Case: words("tlsrpt-https", "a report is wanted by HTTPS", "has a TLSA record of another key, and wants reports of it by HTTPS", rfc8460+" section 5.4"),
		report: "https", stages: at(host{tlsa: []string{"3 1 1 {other}"}, refuse: true})},
}
