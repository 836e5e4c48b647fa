package dane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// fake answers what it holds by "TYPE name"; all else is securely absent.
type fake struct {
	answers map[string]answer
	asked   []string
}

type answer struct {
	rdata     []string
	canonical string
	insecure  bool
	err       error
}

func (f *fake) LookupRR(_ context.Context, name string, rrtype uint16) ([][]byte, string, bool, error) {
	q := map[uint16]string{1: "A", 5: "CNAME", 28: "AAAA", 52: "TLSA"}[rrtype] + " " + name
	f.asked = append(f.asked, q)
	a := f.answers[q]
	if a.canonical == "" {
		a.canonical = name
	}
	var rdata [][]byte
	for _, r := range a.rdata {
		rdata = append(rdata, []byte(r))
	}
	return rdata, a.canonical, !a.insecure, a.err
}

var (
	usable   = "\x03\x01\x01" + strings.Repeat("\x01", 32)
	unusable = "\x03\x01\x01" + strings.Repeat("\x01", 31)
	pkix     = "\x01\x01\x01" + strings.Repeat("\x01", 32)
	addr     = answer{rdata: []string{"\x7f\x00\x00\x01"}}
	tlsa     = answer{rdata: []string{usable}}
	failure  = answer{err: errors.New("no answer")}
)

func (a answer) unsigned() answer           { a.insecure = true; return a }
func (a answer) at(name string) answer      { a.canonical = name; return a }
func records(rdata ...string) answer        { return answer{rdata: rdata} }
func got(p *Policy) string                  { return fmt.Sprintf("%v %s %v", p.Demand, p.Base, p.Names) }
func smtp(host string, n ...string) Service { return Service{Host: host, Port: 25, Names: n} }

// RFC 7672, sections 2.1 to 2.2.3 and 3.2.2.
func TestLookup(t *testing.T) {
	type m = map[string]answer
	const mx, end = "mx.example.test", "end.example.net"
	for _, c := range []struct {
		name    string
		service Service
		answers m
		want    string // demand, base domain, names
		reason  string // part of it
		unasked string // a question that must not be put
	}{
		{"usable record", smtp("MX.example.test.", "Example.test."), m{"A " + mx: addr, "TLSA _25._tcp." + mx: tlsa},
			"dane mx.example.test [mx.example.test example.test]", "there are TLSA records at _25._tcp.mx.example.test", ""},
		{"another port", Service{Host: mx, Port: 2525}, m{"A " + mx: addr, "TLSA _2525._tcp." + mx: tlsa}, "dane mx.example.test [mx.example.test]", "", "TLSA _25._tcp." + mx},
		{"IPv6 alone", smtp(mx), m{"AAAA " + mx: addr, "TLSA _25._tcp." + mx: tlsa}, "dane mx.example.test [mx.example.test]", "", ""},
		{"one of two usable", smtp(mx), m{"A " + mx: addr, "TLSA _25._tcp." + mx: records(unusable, usable)}, "dane mx.example.test [mx.example.test]", "", ""},
		{"none usable", smtp(mx), m{"A " + mx: addr, "TLSA _25._tcp." + mx: records(unusable)}, "encrypt mx.example.test [mx.example.test]", "none of the TLSA records", ""},
		{"PKIX usage between mail servers", smtp(mx), m{"A " + mx: addr, "TLSA _25._tcp." + mx: records(pkix)}, "encrypt mx.example.test [mx.example.test]", "", ""},
		{"PKIX usage elsewhere", Service{Host: mx, Port: 143, PKIX: true}, m{"A " + mx: addr, "TLSA _143._tcp." + mx: records(pkix)}, "dane mx.example.test [mx.example.test]", "", ""},
		{"no record", smtp(mx), m{"A " + mx: addr}, "none  []", "there is no TLSA record at _25._tcp.mx.example.test", ""},
		{"insecure record", smtp(mx), m{"A " + mx: addr, "TLSA _25._tcp." + mx: tlsa.unsigned()}, "none  []", "not signed", ""},
		{"insecure address", smtp(mx), m{"A " + mx: addr.unsigned(), "TLSA _25._tcp." + mx: failure}, "none  []", "the zone of mx.example.test is not signed", "TLSA _25._tcp." + mx},
		{"one address insecure", smtp(mx), m{"A " + mx: addr, "AAAA " + mx: addr.unsigned()}, "none  []", "not signed", "TLSA _25._tcp." + mx},
		{"no TLSA answer", smtp(mx), m{"A " + mx: addr, "TLSA _25._tcp." + mx: failure}, "tempfail  []", "could not be told: no answer", ""},
		{"malformed record", smtp(mx), m{"A " + mx: addr, "TLSA _25._tcp." + mx: records("\x03\x01", usable)}, "tempfail  []", "a TLSA record of 2 bytes", ""},
		{"no address answer", smtp(mx), m{"A " + mx: failure}, "tempfail  []", "no answer", "TLSA _25._tcp." + mx},
		{"no AAAA answer", smtp(mx), m{"A " + mx: addr, "AAAA " + mx: failure, "TLSA _25._tcp." + mx: tlsa}, "dane mx.example.test [mx.example.test]", "", ""},
		{"no A answer", smtp(mx), m{"A " + mx: failure, "AAAA " + mx: addr, "TLSA _25._tcp." + mx: tlsa}, "dane mx.example.test [mx.example.test]", "", ""},
		{"no address", smtp(mx), m{"TLSA _25._tcp." + mx: tlsa}, "tempfail  []", "mx.example.test has no address", "TLSA _25._tcp." + mx},
		{"secure alias, records at its end", smtp(mx, "example.test"), m{"A " + mx: addr.at(end), "TLSA _25._tcp." + end: tlsa},
			"dane end.example.net [end.example.net example.test]", "", "TLSA _25._tcp." + mx},
		{"secure alias, records at its beginning", smtp(mx), m{"A " + mx: addr.at(end), "TLSA _25._tcp." + mx: tlsa}, "dane mx.example.test [mx.example.test]", "", ""},
		{"secure alias, unsigned records at its end", smtp(mx), m{"A " + mx: addr.at(end), "TLSA _25._tcp." + end: tlsa.unsigned(), "TLSA _25._tcp." + mx: tlsa}, "dane mx.example.test [mx.example.test]", "", ""},
		{"secure alias, no answer at its end", smtp(mx), m{"A " + mx: addr.at(end), "TLSA _25._tcp." + end: failure, "TLSA _25._tcp." + mx: tlsa}, "tempfail  []", "", "TLSA _25._tcp." + mx},
		{"signed alias to an unsigned zone", smtp(mx), m{"A " + mx: addr.at(end).unsigned(), "CNAME " + mx: records(end), "TLSA _25._tcp." + mx: tlsa},
			"dane mx.example.test [mx.example.test]", "", "TLSA _25._tcp." + end},
		{"unsigned alias", smtp(mx), m{"A " + mx: addr.at(end).unsigned(), "CNAME " + mx: records(end).unsigned(), "TLSA _25._tcp." + mx: tlsa},
			"none  []", "not signed", "TLSA _25._tcp." + mx},
		{"alias that cannot be told", smtp(mx), m{"A " + mx: addr.at(end).unsigned(), "CNAME " + mx: failure}, "tempfail  []", "", ""},
		{"address literal", smtp("192.0.2.1"), nil, "none  []", "an address has no TLSA records", "A 192.0.2.1"},
	} {
		f := &fake{answers: c.answers}
		p := Lookup(t.Context(), f, c.service)
		if got(p) != c.want || !strings.Contains(p.Reason, c.reason) || p.Reason == "" {
			t.Errorf("%s: %s (%s)\nwant %s (%s)", c.name, got(p), p.Reason, c.want, c.reason)
		}
		if (p.Err != nil) != (p.Demand == Unreachable) {
			t.Errorf("%s: %v with error %v", c.name, p.Demand, p.Err)
		}
		if slices.Contains(f.asked, c.unasked) {
			t.Errorf("%s: asked for %s", c.name, c.unasked)
		}
	}
}
