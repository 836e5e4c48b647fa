package tlsprobe_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"example.org/starttls/internal/tlsprobe"
	"example.org/starttls/internal/tlsprobe/badserver"
	"example.org/starttls/internal/tlsprobe/tlswire"
)

// flaw finds a flaw by name.
func flaw(t testing.TB, name string) func(*badserver.Config) {
	t.Helper()
	for _, f := range badserver.Flaws {
		if f.Name == name {
			return f.Set
		}
	}
	t.Fatalf("there is no flaw %q", name)
	return nil
}

// faults says which server has a fault, and which is like it without: nil is
// one without any flaw.
var faults = []struct {
	fault string
	red   []string
	green func(*badserver.Config)
	want  tlsprobe.Verdict // of green
}{
	{"heartbleed", []string{"heartbleed"}, func(c *badserver.Config) { c.Heartbeat = true }, tlsprobe.Safe},
	{"heartbleed", []string{"heartbleed"}, nil, tlsprobe.NotApplicable},
	{"ccs-injection", []string{"early-ccs"}, nil, tlsprobe.Safe},
	{"robot", []string{"robot"}, nil, tlsprobe.Safe},
	{"robot", []string{"robot"}, func(c *badserver.Config) { c.Suites = []uint16{0xc02f} }, tlsprobe.NotApplicable},
	{"ticketbleed", []string{"ticketbleed"}, nil, tlsprobe.Safe},
	{"drown", []string{"ssl2"}, nil, tlsprobe.NotApplicable},
	{"freak", []string{"export-rsa"}, nil, tlsprobe.Safe},
	{"logjam", []string{"export-dhe", "common-prime"}, nil, tlsprobe.Safe},
	{"poodle", []string{"ssl3"}, func(c *badserver.Config) {
		c.Versions, c.Suites = []uint16{tlswire.SSL3}, []uint16{0x0005} // RC4 instead
	}, tlsprobe.Safe},
	{"poodle", []string{"ssl3"}, nil, tlsprobe.NotApplicable},
	{"crime", []string{"deflate"}, nil, tlsprobe.Safe},
	{"insecure-renegotiation", []string{"insecure-renegotiation"}, func(c *badserver.Config) { c.Renegotiates = true }, tlsprobe.Safe},
	{"insecure-renegotiation", []string{"insecure-renegotiation"}, func(c *badserver.Config) { c.Unbound = true }, tlsprobe.Safe},
	{"renegotiation-dos", []string{"renegotiation", "insecure-renegotiation"}, nil, tlsprobe.Safe},
	{"fallback", []string{"no-fallback-scsv"}, func(c *badserver.Config) {
		c.Versions = []uint16{tlswire.TLS11, tlswire.TLS12}
	}, tlsprobe.Safe},
	{"fallback", []string{"no-fallback-scsv"}, nil, tlsprobe.NotApplicable},
	{"anonymous", []string{"anonymous"}, nil, tlsprobe.Safe},
	{"null", []string{"null"}, nil, tlsprobe.Safe},
	{"export", []string{"export-rsa", "export-dhe"}, nil, tlsprobe.Safe},
	{"rc4", []string{"rc4"}, nil, tlsprobe.Safe},
	{"sweet32", []string{"3des"}, nil, tlsprobe.Safe},
}

// Each probe finds the server with its fault, by itself, and not the one
// without.
func TestFaults(t *testing.T) {
	for _, f := range tlsprobe.Faults {
		t.Run(f.ID, func(t *testing.T) {
			t.Parallel()
			tested := false
			try := func(s *tlsprobe.Server, who string, want tlsprobe.Verdict) {
				got, err := f.Probe(s, t.Context())
				check(t, err)
				if got.Verdict != want {
					t.Errorf("%s: %v (%s), want %v", who, got.Verdict, got.Detail, want)
				}
				if want == tlsprobe.Vulnerable && (len(got.Evidence) == 0 || len(got.Evidence[0].Sent) == 0 || len(got.Evidence[0].Received) == 0) {
					t.Errorf("%s: no evidence", who)
				}
				for _, e := range got.Evidence {
					if bytes.Contains(e.Received, []byte("leak")) {
						t.Errorf("%s: what leaked is kept: %q", who, e.Received)
					}
				}
				if got.Detail == "" {
					t.Errorf("%s: not a word of detail", who)
				}
			}
			for _, row := range faults {
				if row.fault != f.ID {
					continue
				}
				tested = true
				for _, red := range row.red {
					try(bad(t, flaw(t, red)), red, tlsprobe.Vulnerable)
				}
				try(bad(t, row.green), "green", row.want)
			}
			if !tested {
				t.Error("no server has this fault")
			}
		})
	}
}

// A look at everything finds in each bad server what it has, and nothing else.
func TestScanFindsOneFlaw(t *testing.T) {
	also := map[string][]string{ // what is found beside the flaw's own fault, or under another name
		"ssl2": {"drown"}, "ssl3": {"poodle"}, "export-rsa": {"freak", "export", "rc4", "sweet32"},
		"export-dhe": {"logjam", "export", "sweet32"}, "anonymous": {"anonymous"}, "null": {"null"}, "rc4": {"rc4"},
		"3des": {"sweet32"}, "deflate": {"crime"}, "insecure-renegotiation": {"insecure-renegotiation", "renegotiation-dos"},
		"renegotiation": {"renegotiation-dos"}, "heartbleed": {"heartbleed"}, "early-ccs": {"ccs-injection"}, "robot": {"robot"},
		"ticketbleed": {"ticketbleed"}, "common-prime": {"logjam"}, "no-fallback-scsv": {"fallback"},
		"any-alpn": nil, "unbound-keys": nil, "needs-sni": nil, "one-segment": nil, "client-order": nil,
	}
	servers := append(badserver.Flaws, badserver.Flaw{Name: "none"})
	for _, f := range servers {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			s := bad(t, f.Set)
			if f.Name == "one-segment" {
				s.Timeout = 2 * time.Second // it does time out
			}
			r, err := s.Scan(t.Context())
			check(t, err)
			var found []string
			for _, x := range r.Findings {
				switch x.Verdict {
				case tlsprobe.Vulnerable:
					found = append(found, x.ID)
				case tlsprobe.Inconclusive:
					t.Errorf("%s: inconclusive: %s", x.ID, x.Detail)
				}
			}
			want, known := also[f.Name]
			if !known && f.Set != nil {
				t.Fatal("what is to be found in this server?")
			}
			slices.Sort(found)
			slices.Sort(want)
			if !slices.Equal(found, want) {
				t.Errorf("found %v, want %v", found, want)
			}
			if r.Connections == 0 || r.Connections != s.Connections() {
				t.Errorf("%d connections, or %d", r.Connections, s.Connections())
			}
		})
	}
}
