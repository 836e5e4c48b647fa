package mta

// References of several cases.
const (
	rfc7671 = "RFC 7671"
	rfc7672 = "RFC 7672"
	rfc8460 = "RFC 8460"
	rfc8461 = "RFC 8461"
	rfc8689 = "RFC 8689"
)

// daneCases are about TLSA records and the certificates they stand for.
var daneCases = []Case{
	{Case: words("dane-match", "the key that TLSA names", "has a TLSA record 3 1 1 of its server's key, whose certificate is of an authority that nobody knows", rfc7672+" section 3.1.1"),
		must: true, stages: at(host{cert: stranger, tlsa: []string{"3 1 1 {spki}"}})},
	{Case: words("dane-mismatch", "another key than TLSA names", "has a TLSA record 3 1 1 of another key than its server's, whose certificate is otherwise good", rfc7672+" section 2.2"),
		stages: at(host{tlsa: []string{"3 1 1 {other}"}, refuse: true})},
	{Case: words("dane-strip", "TLSA, and no TLS", "has a TLSA record, and a server that offers no TLS", rfc7672+" section 2.2"),
		stages: at(host{tlsa: []string{"3 1 1 {spki}"}, hide: true, refuse: true})},
	{Case: words("dane-rollover", "TLSA of two keys", "has TLSA records of its server's key and of another", rfc7671+" section 8.1"),
		must: true, stages: at(host{cert: stranger, tlsa: []string{"3 1 1 {other}", "3 1 1 {spki}"}})},
	{Case: words("dane-agility", "the weaker digest matches", "has a SHA-256 record of its server's key and a SHA-512 record of another, and the stronger digest alone counts", rfc7671+" section 9"),
		should: true, stages: at(host{tlsa: []string{"3 1 1 {spki}", "3 1 2 {other}{other}"}, refuse: true})},
	{Case: words("dane-next-mx", "the second server is the right one", "has a first server with another key than TLSA names, and a second one with the right key", rfc7672+" section 2.1"),
		must: true, stages: at(host{tlsa: []string{"3 1 1 {other}"}, refuse: true}, host{name: "mx2", cert: stranger, tlsa: []string{"3 1 1 {spki}"}})},

	{Case: words("dane-unusable", "TLSA that nobody can use", "has TLSA records of usage 1 alone, which ask for TLS and for no certificate", rfc7672+" section 3.1.3", "CVE-2026-104704"),
		must: true, stages: at(host{cert: stranger, tlsa: []string{"1 1 1 {other}"}})},
	{Case: words("dane-unusable-strip", "TLSA that nobody can use, and no TLS", "has TLSA records of usage 1 alone, and a server that offers no TLS", rfc7672+" section 2.2", "CVE-2026-104704"),
		stages: at(host{tlsa: []string{"1 1 1 {other}"}, hide: true, refuse: true})},

	{Case: words("dane-ee-expired", "the right key, expired", "has a TLSA record 3 1 1 of its server's key, whose certificate has expired, which does not count", rfc7672+" section 3.1.1"),
		must: true, stages: at(host{cert: expired, tlsa: []string{"3 1 1 {spki}"}})},
	{Case: words("dane-ee-name", "the right key, for another name", "has a TLSA record 3 1 1 of its server's key, whose certificate is for another name, which does not count", rfc7672+" section 3.1.1"),
		must: true, stages: at(host{cert: otherName, tlsa: []string{"3 1 1 {spki}"}})},
	{Case: words("dane-sni", "the right key, for who asks for it", "has a TLSA record 3 1 1 of the key that its server uses with those who name it in the handshake, and another key for others", rfc7672+" section 8.1"),
		must: true, stages: at(host{cert: stranger, asked: true, tlsa: []string{"3 1 1 {spki}"}})},

	{Case: words("dane-ta", "the authority that TLSA names", "has a TLSA record 2 0 1 of the authority that its server's certificate is of", rfc7672+" section 3.1.2"),
		must: true, stages: at(host{cert: stranger, tlsa: []string{"2 0 1 {ca}"}})},
	{Case: words("dane-ta-domain", "the authority that TLSA names, for the domain", "has a TLSA record 2 0 1 of the authority of its server's certificate, which is for the mail domain", rfc7672+" section 3.2.2"),
		must: true, stages: at(host{cert: forDomain, tlsa: []string{"2 0 1 {ca}"}})},
	{Case: words("dane-ta-name", "the authority that TLSA names, for another name", "has a TLSA record 2 0 1 of the authority of its server's certificate, which is for another name", rfc7672+" section 3.2.2"),
		stages: at(host{cert: strangerOther, tlsa: []string{"2 0 1 {ca}"}, refuse: true})},
	{Case: words("dane-ta-expired", "the authority that TLSA names, expired", "has a TLSA record 2 0 1 of the authority of its server's certificate, which has expired", rfc7671+" section 5.2"),
		stages: at(host{cert: strangerExpired, tlsa: []string{"2 0 1 {ca}"}, refuse: true})},
	{Case: words("dane-ta-absent", "the authority that TLSA names is not served", "has a TLSA record 2 0 1 of the authority of its server's certificate, which the server does not send", rfc7672+" section 3.1.2"),
		stages: at(host{cert: strangerAlone, tlsa: []string{"2 0 1 {ca}"}, refuse: true})},
	{Case: words("dane-ta-other", "another authority than TLSA names", "has a TLSA record 2 0 1 of another authority than its server's", rfc7672+" section 3.1.2"),
		stages: at(host{tlsa: []string{"2 0 1 {other}"}, refuse: true})},

	{Case: words("dane-over-sts", "MTA-STS is met, TLSA is not", "has a TLSA record of another key than its server's, whose certificate meets the domain's MTA-STS policy", rfc8461+" section 2"),
		stages: []stage{{hosts: []host{{tlsa: []string{"3 1 1 {other}"}, refuse: true}}, sts: sts{record: "1", policy: enforce}}}},
}

// namesCases are about how the records are found.
var namesCases = []Case{
	{Case: words("dane-none", "no TLSA, as the zone proves", "has no TLSA record, which its zone proves, and a certificate that nobody knows", rfc7672+" section 2.2"),
		must: true, stages: at(host{cert: stranger})},
	{Case: words("dane-nodata", "no TLSA beside another record", "has another record where the TLSA record would be, as its zone proves, and a certificate that nobody knows", rfc7672+" section 2.2"),
		must: true, stages: at(host{cert: stranger}), zone: "_%._tcp.mx.$ TXT none"},
	{Case: words("dane-bogus", "the signature of TLSA is bad", "has TLSA records whose signature has expired", rfc7672+" section 2.1.1"),
		stages: at(host{tlsa: []string{"3 1 1 {spki}"}, refuse: true}), broken: []string{"_%._tcp.mx.$"}},
	{Case: words("dane-denial-bogus", "the proof that there is no TLSA is bad", "has no TLSA record, and a proof of that whose signature has expired", rfc7672+" section 2.1.1"),
		stages: at(host{refuse: true}), zone: "_%._tcp.mx.$ TXT none", broken: []string{"_%._tcp.mx.$"}},
	{Case: words("dane-servfail", "TLSA can not be had", "has a name server that fails when it is asked for the TLSA record", rfc7672+" section 2.1.2"),
		stages: at(host{refuse: true}), zone: "_%._tcp.mx.$ TXT none", failing: []string{"_%._tcp.mx.$"}}, // which the names above do not deny
	{Case: words("dane-address-bogus", "the signature of the address is bad", "has a server whose address has a signature that has expired", rfc7672+" section 2.1.2"),
		stages: at(host{tlsa: []string{"3 1 1 {spki}"}, refuse: true}), broken: []string{"mx.$"}},
	{Case: words("dane-mx-bogus", "the signature of MX is bad", "has MX records whose signature has expired", rfc7672+" section 2.2.1"),
		stages: at(host{refuse: true}), broken: []string{"$"}},

	{Case: words("dane-cname", "the server's name is an alias", "has an alias for a server's name, and the TLSA record at its end", rfc7672+" section 2.2.2"),
		must: true, stages: at(host{name: "real", mx: "mx", cert: stranger, tlsa: []string{"3 1 1 {spki}"}}), zone: "mx.$ CNAME real.$"},
	{Case: words("dane-cname-mismatch", "the server's name is an alias, TLSA of another key", "has an alias for a server's name, and at its end a TLSA record of another key", rfc7672+" section 2.2.2"),
		stages: at(host{name: "real", mx: "mx", tlsa: []string{"3 1 1 {other}"}, refuse: true}), zone: "mx.$ CNAME real.$"},
	{Case: words("dane-tlsa-cname", "TLSA is an alias", "has an alias where the TLSA record is looked for, and the record at its end", rfc7671+" section 7"),
		must: true, stages: at(host{cert: stranger}), zone: "_%._tcp.mx.$ CNAME tlsa.$\ntlsa.$ TLSA 3 1 1 {spki}"},
	{Case: words("dane-tlsa-cname-mismatch", "TLSA is an alias, of another key", "has an alias where the TLSA record is looked for, and at its end the record of another key", rfc7671+" section 7"),
		stages: at(host{refuse: true}), zone: "_%._tcp.mx.$ CNAME tlsa.$\ntlsa.$ TLSA 3 1 1 {other}"},

	{Case: words("dane-mx-unsigned", "MX is not signed", "has MX records without signatures that name a server with a TLSA record of its key", rfc7672+" section 2.2.1"),
		must: true, unsigned: true, stages: at(host{cert: stranger, tlsa: []string{"3 1 1 {spki}"}})},
	{Case: words("dane-host-unsigned", "TLSA is not signed", "has a server in a zone without signatures, where a TLSA record of another key stands, which does not count", rfc7672+" section 2.2.2"),
		must: true, stages: at(host{open: true, tlsa: []string{"3 1 1 {other}"}})},
}
