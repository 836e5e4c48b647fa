package mta

import "strings"

// The policies of the cases: the first is met by the domain's server, the second
// by none that it has.
const (
	enforce  = "version: STSv1\r\nmode: enforce\r\nmx: mx.$\r\nmax_age: 86400\r\n"
	unlisted = "version: STSv1\r\nmode: enforce\r\nmx: other.$\r\nmax_age: 86400\r\n"
)

// withSTS is the one stage of a domain with a policy.
func withSTS(policy string, hosts ...host) []stage {
	return []stage{{hosts: hosts, sts: sts{record: "1", policy: policy}}}
}

// stsCases are about servers that meet a policy or do not.
var stsCases = []Case{
	{Case: words("sts-met", "the policy is met", "has an MTA-STS policy in mode enforce that its server meets", rfc8461+" section 4"),
		must: true, stages: withSTS(enforce, host{})},
	{Case: words("sts-strip", "a policy, and no TLS", "has an MTA-STS policy in mode enforce, and a server that offers no TLS", rfc8461+" section 5"),
		stages: withSTS(enforce, host{hide: true, refuse: true})},
	{Case: words("sts-untrusted", "the certificate is of an authority that nobody knows", "has an MTA-STS policy in mode enforce, and a server whose certificate is of an authority that nobody knows", rfc8461+" section 4.2"),
		stages: withSTS(enforce, host{cert: stranger, refuse: true})},
	{Case: words("sts-name", "the certificate is for another name", "has an MTA-STS policy in mode enforce, and a server whose certificate is for another name", rfc8461+" section 4.2"),
		stages: withSTS(enforce, host{cert: otherName, refuse: true})},
	{Case: words("sts-expired", "the certificate has expired", "has an MTA-STS policy in mode enforce, and a server whose certificate has expired", rfc8461+" section 4.2"),
		stages: withSTS(enforce, host{cert: expired, refuse: true})},
	{Case: words("sts-mx", "the policy names another server", "has an MTA-STS policy in mode enforce that does not name the server of its MX record", rfc8461+" section 4.1"),
		stages: withSTS(unlisted, host{refuse: true})},
	{Case: words("sts-wildcard", "the policy names the server by a wildcard", "has an MTA-STS policy in mode enforce whose wildcard stands for its server", rfc8461+" section 4.1"),
		must: true, stages: withSTS("version: STSv1\nmode: enforce\nmx: *.$\nmax_age: 86400\n", host{})},
	{Case: words("sts-wildcard-deep", "the wildcard is a label short", "has an MTA-STS policy in mode enforce whose wildcard stands for one label, and a server with two", rfc8461+" section 4.1"),
		stages: withSTS("version: STSv1\nmode: enforce\nmx: *.$\nmax_age: 86400\n", host{name: "mx.deep", refuse: true})},
	{Case: words("sts-next-mx", "the second server is the right one", "has an MTA-STS policy in mode enforce that names the second of its servers alone", rfc8461+" section 5.1"),
		must: true, stages: withSTS("version: STSv1\nmode: enforce\nmx: mx2.$\nmax_age: 86400\n", host{refuse: true}, host{name: "mx2"})},
	{Case: words("sts-testing", "the policy is being tested", "has an MTA-STS policy in mode testing that its server does not meet", rfc8461+" section 5"),
		must: true, stages: withSTS("version: STSv1\nmode: testing\nmx: other.$\nmax_age: 86400\n", host{cert: stranger})},
	{Case: words("sts-none", "the policy is taken back", "has an MTA-STS policy in mode none, and a certificate that nobody knows", rfc8461+" section 8.3"),
		must: true, stages: withSTS("version: STSv1\nmode: none\nmax_age: 86400\n", host{cert: stranger})},
	{Case: words("sts-sni", "the certificate is for who asks for it", "has an MTA-STS policy in mode enforce, and a server whose certificate meets it for those who name the server in the handshake", rfc8461+" section 7.1"),
		must: true, stages: withSTS(enforce, host{asked: true})},
	{Case: words("sts-new-id", "the policy has changed", "has an MTA-STS policy that its server meets, and after the first message another, with a new id, that it does not", rfc8461+" section 3.3"),
		should: true, stages: []stage{
			{hosts: []host{{}}, sts: sts{record: "1", policy: enforce}},
			{hosts: []host{{refuse: true}}, sts: sts{record: "2", policy: unlisted}},
		}},
	{Case: words("sts-cached", "the policy is hidden once it is known", "has an MTA-STS policy in mode enforce, of which after the first message nothing is to be found, and then a certificate that nobody knows", rfc8461+" section 5.1"),
		stages: []stage{
			{hosts: []host{{}}, sts: sts{record: "1", policy: enforce}},
			{hosts: []host{{cert: stranger, refuse: true}}, sts: sts{page: page{down: true}}},
		}},
	{Case: words("sts-cached-expired", "the policy is over", "has an MTA-STS policy in mode enforce that is valid for no time, of which after the first message nothing is to be found, and then a certificate that nobody knows", rfc8461+" section 3.2"),
		must: true, stages: []stage{
			{hosts: []host{{}}, sts: sts{record: "1", policy: strings.Replace(enforce, "86400", "0", 1)}},
			{hosts: []host{{cert: stranger}}, sts: sts{page: page{down: true}}},
		}},
	{Case: words("sts-cached-forged", "the policy is forged once it is known", "has an MTA-STS policy in mode enforce, and after the first message one in mode none at a host whose certificate nobody knows, and such a certificate itself", rfc8461+" section 3.3"),
		stages: []stage{
			{hosts: []host{{}}, sts: sts{record: "1", policy: enforce}},
			{hosts: []host{{cert: stranger, refuse: true}}, sts: sts{record: "2", policy: "version: STSv1\nmode: none\nmax_age: 86400\n", page: page{cert: stranger}}},
		}},
}

// fetched is the one stage of a domain with a policy, seen by nobody before, that
// is served in an odd way.
func fetched(policy string, p page) []stage {
	return []stage{{hosts: []host{{}}, sts: sts{record: "1", policy: policy, page: p}}}
}

// policyHostCases are about how policies are served. One that must not be taken
// names a server that the domain does not have: who takes it, sends nothing.
var policyHostCases = []Case{
	{Case: words("sts-host-untrusted", "the policy host's certificate is of an authority that nobody knows", "has a policy host whose certificate is of an authority that nobody knows, and whose policy no server meets", rfc8461+" section 3.3"),
		must: true, stages: fetched(unlisted, page{cert: stranger})},
	{Case: words("sts-host-name", "the policy host's certificate is for another name", "has a policy host whose certificate is for another name, and whose policy no server meets", rfc8461+" section 3.3"),
		must: true, stages: fetched(unlisted, page{cert: otherName})},
	{Case: words("sts-host-expired", "the policy host's certificate has expired", "has a policy host whose certificate has expired, and whose policy no server meets", rfc8461+" section 3.3"),
		must: true, stages: fetched(unlisted, page{cert: expired})},
	{Case: words("sts-redirect", "the policy is elsewhere", "has a policy host that answers 302, which may not be followed, to a policy that no server meets", rfc8461+" section 3.3"),
		must: true, stages: fetched(unlisted, page{redirect: true})},
	{Case: words("sts-missing", "there is no policy behind the record", "has the record of a policy, and a policy host that answers 404", rfc8461+" section 3.3"),
		must: true, stages: fetched("", page{})},
	{Case: words("sts-malformed", "the policy can not be read", "has a policy of a version that does not exist", rfc8461+" section 3.2"),
		must: true, stages: fetched("version: STSv9\nmode: enforce\nmx: other.$\nmax_age: 86400\n", page{})},
	{Case: words("sts-records", "there are two records", "has two records, which is as none, and a policy that no server meets", rfc8461+" section 3.1"),
		must: true, stages: []stage{{hosts: []host{{}}, sts: sts{record: "1 2", policy: unlisted}}}},
	{Case: words("sts-type", "the policy is of another type", "has a policy that its server meets, and that is served as text/html, which a sender may take or leave", rfc8461+" section 3.2"),
		must: true, stages: fetched(enforce, page{mediaType: "text/html"})},
	{Case: words("sts-endless", "the policy does not end", "has a policy of many mebibytes, of which a sender should read 64 KiB", rfc8461+" section 3.3"),
		must: true, stages: fetched(enforce, page{endless: true})},
}
