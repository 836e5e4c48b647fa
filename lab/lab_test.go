package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"testing"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// library is our own client, which asks inside TLS what there is to ask.
func library(ctx context.Context, c Call) Ended {
	conn, err := starttls.Dial(ctx, c.Addr, c.Protocol, &starttls.Config{TLS: &tls.Config{RootCAs: c.Roots}})
	if err != nil {
		return Ended{How: err.Error()}
	}
	defer conn.Close()
	if _, ok := c.Protocol.(starttls.Prober); ok {
		if _, err := conn.Probe(ctx); err != nil {
			return Ended{How: err.Error()}
		}
	}
	return Ended{How: "ended well"}
}

// Our own client gives nothing away, in any case of any protocol.
func TestLibraryIsClean(t *testing.T) {
	rep, err := Run(t.Context(), Options{Parallel: 64}, library)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rep.Results {
		if r.Score != Closed || r.Verdict != OK {
			t.Errorf("%s %s: %s %s: %s; %s\n%q", r.Protocol, r.Case, r.Verdict, r.Score, r.Detail, r.Client, r.Evidence)
		}
	}
}

// Test passes a careful client, and takes the name of any protocol.
func TestTest(t *testing.T) {
	Test(t, "submission", func(addr string, roots *x509.CertPool) error {
		c, err := starttls.Dial(t.Context(), addr, protocol.Submission, &starttls.Config{TLS: &tls.Config{RootCAs: roots}})
		if err != nil {
			return err
		}
		return c.Close()
	})
}
