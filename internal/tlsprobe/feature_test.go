package tlsprobe_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"example.org/starttls/internal/tlsprobe"
	"example.org/starttls/internal/tlsprobe/badserver"
	"example.org/starttls/internal/tlsprobe/tlswire"
)

func TestVersions(t *testing.T) {
	s := bad(t, func(c *badserver.Config) {
		c.Versions = []uint16{tlswire.SSL3, tlswire.TLS11, tlswire.TLS12}
		c.SSL2 = tlswire.SSL2Ciphers[:2]
	})
	for v, want := range map[uint16]bool{tlswire.SSL2: true, tlswire.SSL3: true, tlswire.TLS10: false, tlswire.TLS11: true, tlswire.TLS12: true, tlswire.TLS13: false} {
		if got := version(t, s, v); got.Supported != want {
			t.Errorf("%s: %v", tlswire.VersionName(v), got.Answer)
		}
	}
	ssl2 := version(t, s, tlswire.SSL2).Answer
	if !slices.Equal(ssl2.SSL2.Ciphers, tlswire.SSL2Ciphers[:2]) || !bytes.Equal(ssl2.Chain[0], certificate().Certificate[0]) {
		t.Errorf("SSL 2.0: %+v", ssl2.SSL2)
	}
	a := version(t, s, tlswire.TLS12).Answer
	if len(a.Chain) != 2 || a.Group != tlswire.X25519 || a.Suite != 0xc02f || a.Scheme != tlswire.PSSSHA256 || !a.Extensions.Has(tlswire.ExtExtendedMaster) {
		t.Errorf("TLS 1.2: %+v", a)
	}
	if n := s.Connections(); n != 6 {
		t.Errorf("%d connections for six versions", n)
	}
}

func TestSuites(t *testing.T) {
	order := []uint16{0x002f, 0xc030, 0x0005, 0xc02f}
	s := bad(t, func(c *badserver.Config) { c.Suites = order })
	l, err := s.Suites(t.Context(), tlswire.TLS12)
	check(t, err)
	if !slices.Equal(l.IDs, order) || l.Order != tlsprobe.ServerOrder || !l.Complete || l.Unasked || len(l.Answers) != len(order) {
		t.Errorf("%+v", l)
	}
	if n := s.Connections(); n != 6+4+1 { // versions, three more suites and a refusal, the order
		t.Errorf("%d connections", n)
	}
	if l, err := s.Suites(t.Context(), tlswire.TLS11); l != nil || err != nil {
		t.Errorf("of a version that it has not: %+v, %v", l, err)
	}
}

// A server that bears no long list of suites is asked in short ones.
func TestSuitesOfIntolerantServer(t *testing.T) {
	order := []uint16{0xc030, 0x002f, 0x0034}
	s := bad(t, func(c *badserver.Config) { c.Suites, c.ShortList = order, true })
	l, err := s.Suites(t.Context(), tlswire.TLS12)
	check(t, err)
	slices.Sort(order)
	slices.Sort(l.IDs)
	if !slices.Equal(l.IDs, order) || !l.Complete {
		t.Errorf("%+v", l)
	}
}

func TestALPN(t *testing.T) {
	ask := func(set func(*badserver.Config), right ...string) *tlsprobe.ALPN {
		s := bad(t, set)
		s.ALPN = right
		a, err := s.Protocols(t.Context())
		check(t, err)
		return a
	}
	knows := func(c *badserver.Config) { c.ALPN = []string{"imap"} }
	strict := ask(knows, "imap")
	if strict.Right.ALPN != "imap" || strict.Wrong.Alert == nil || strict.Wrong.Alert.Code != tlswire.NoApplicationProtocol || strict.None.Outcome != tlsprobe.Accepted {
		t.Errorf("strict: %v %v %v", strict.Right, strict.Wrong, strict.None)
	}
	careless := ask(flaw(t, "any-alpn"), "imap")
	if careless.Right.ALPN != "imap" || careless.Wrong.Outcome != tlsprobe.Accepted || careless.Wrong.ALPN != "" {
		t.Errorf("careless: %v %v", careless.Right, careless.Wrong)
	}
	ignorant := ask(nil)
	if ignorant.Right != nil || ignorant.Wrong.Outcome != tlsprobe.Accepted || ignorant.None.Outcome != tlsprobe.Accepted {
		t.Errorf("ignorant: %v %v", ignorant.Wrong, ignorant.None)
	}
}

func TestSNI(t *testing.T) {
	ask := func(set func(*badserver.Config)) *tlsprobe.SNI {
		a, err := bad(t, set).Names(t.Context())
		check(t, err)
		return a
	}
	if a := ask(nil); a.None.Outcome != tlsprobe.Accepted || a.Unknown.Outcome != tlsprobe.Accepted {
		t.Errorf("green: %v, %v", a.None, a.Unknown)
	}
	a := ask(flaw(t, "needs-sni"))
	for _, refused := range []*tlsprobe.Answer{a.None, a.Unknown} {
		if refused.Alert == nil || refused.Alert.Code != tlswire.UnrecognizedName {
			t.Errorf("red: %v", refused)
		}
	}
}

func TestTolerance(t *testing.T) {
	green, err := bad(t, nil).Tolerance(t.Context())
	check(t, err)
	if green.All.Outcome != tlsprobe.Accepted || green.Records.Outcome != tlsprobe.Accepted || green.Segment != nil || green.Stalls() {
		t.Errorf("green: %+v", green)
	}
	s := bad(t, flaw(t, "one-segment"))
	s.Timeout = 2 * time.Second
	red, err := s.Tolerance(t.Context())
	check(t, err)
	if red.All.Outcome != tlsprobe.TimedOut || !red.Stalls() || red.Grease.Outcome != tlsprobe.Accepted || red.Large.Outcome != tlsprobe.Accepted {
		t.Errorf("red: %v %v %v %v", red.All, red.Grease, red.Large, red.Segment)
	}
}

func TestDHE(t *testing.T) {
	for _, c := range []struct {
		set  func(*badserver.Config)
		bits int
		name string
		safe bool
	}{
		{nil, 2048, "RFC 3526 group 14", true},
		{flaw(t, "common-prime"), 1024, "RFC 2409 group 2", true},
		{flaw(t, "export-dhe"), 512, "", false},
	} {
		primes, err := bad(t, c.set).DHE(t.Context())
		check(t, err)
		if len(primes) != 1 {
			t.Fatalf("%d primes", len(primes))
		}
		if d := primes[0]; d.Bits != c.bits || d.Name != c.name || d.Broken || c.safe && !d.Safe || d.Reused {
			t.Errorf("%+v, want %d bits, %q", d, c.bits, c.name)
		}
	}
}

func TestCertificates(t *testing.T) {
	c, err := bad(t, nil).Certificates(t.Context())
	check(t, err)
	if c.RSA == nil || c.EC != nil {
		t.Errorf("RSA alone: %+v", c)
	}
}

func TestResumption(t *testing.T) {
	r, err := bad(t, nil).Resumption(t.Context())
	check(t, err)
	if r.Ticket == nil || r.Ticket.Lifetime != 3600 || !r.ByTicket || r.ByID || r.By13 || r.Tickets13 != nil {
		t.Errorf("%+v", r)
	}
}

// Who asks for faults alone pays for them alone: suites that may be one are
// offered at once, once for all faults.
func TestFewConnections(t *testing.T) {
	s := bad(t, nil)
	before := len(tlswire.Versions) + 1 // TLS 1.2 was found, and SSL 2.0 and so on were not
	want := before + 2 - 1              // DHE is suspect, and then nothing
	for _, probe := range []func(*tlsprobe.Server, context.Context) (tlsprobe.Finding, error){
		(*tlsprobe.Server).Anonymous, (*tlsprobe.Server).Null, (*tlsprobe.Server).Export, (*tlsprobe.Server).RC4,
		(*tlsprobe.Server).Sweet32, (*tlsprobe.Server).FREAK, (*tlsprobe.Server).Logjam, (*tlsprobe.Server).CRIME, (*tlsprobe.Server).DROWN,
	} {
		_, err := probe(s, t.Context())
		check(t, err)
	}
	if n := s.Connections(); n != want {
		t.Errorf("%d connections for nine faults, want %d", n, want)
	}
}
