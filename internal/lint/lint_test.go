package lint

import (
	"crypto/x509"
	"slices"
	"testing"

	"example.org/starttls/internal/testca"
)

func TestCertificate(t *testing.T) {
	ca, err := testca.New("lint root")
	if err != nil {
		t.Fatal(err)
	}
	const rule = "sub_cert_valid_time_longer_than_825_days (CABF_BR)"
	for _, test := range []struct {
		days int
		want bool
	}{{30, false}, {900, true}} {
		cert, err := ca.Issue(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(0, 0, test.days) }, "server.example.test")
		if err != nil {
			t.Fatal(err)
		}
		if got := Certificate(cert.Leaf.Raw); slices.Contains(got, rule) != test.want {
			t.Errorf("valid for %d days: %q", test.days, got)
		}
	}
	if got := Certificate([]byte("no certificate")); len(got) != 1 {
		t.Errorf("of what is none: %q", got)
	}
}
