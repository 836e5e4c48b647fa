package lab

import (
	"context"
	"crypto/x509"
	"net"
	"strings"
	"testing"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// Test has a Go client meet every case as a subtest of t, which fails where the
// client gives away what it must not. client is to connect to addr, trusting
// roots, to do what it does in a session, and to return nil if that went well;
// it must insist on TLS. name is the protocol's. It is called from several
// goroutines at a time.
func Test(t *testing.T, name string, client func(addr string, roots *x509.CertPool) error) {
	t.Helper()
	p, _, err := protocol.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	one := func(_ context.Context, c Call) Ended {
		if err := client(net.JoinHostPort(c.Host, c.Port), c.Roots); err != nil {
			return Ended{How: err.Error()}
		}
		return Ended{How: "nil"}
	}
	rep, err := Run(t.Context(), Options{Protocols: []starttls.Protocol{p}}, one)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rep.Results {
		t.Run(r.Case, func(t *testing.T) {
			what := r.Title + ": " + starttls.Escape(r.Detail) + "; it returned " + starttls.Escape(r.Client) + "\n" + strings.Join(r.Evidence, "\n")
			switch {
			case r.Verdict == Vulnerable, r.panicked:
				t.Error(what)
			case r.Verdict == Inconclusive && r.Case == honestID:
				t.Error(what)
			case r.Verdict != OK:
				t.Log(string(r.Verdict) + ": " + what)
			}
		})
	}
}
