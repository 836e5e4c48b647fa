package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"
)

func presentsItself(t *testing.T) *starttls.Config {
	t.Helper()
	ca, err := testca.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return &starttls.Config{TLS: &tls.Config{Certificates: []tls.Certificate{ca.Self()}}}
}

func TestGivenCertificateIsTrusted(t *testing.T) {
	cfg := presentsItself(t)
	leaf, err := x509.ParseCertificate(cfg.TLS.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	r := Run(t.Context(), serve(t, protocol.IMAP, cfg), Options{Roots: roots, Given: []*x509.Certificate{leaf}, Name: name, Soon: time.Hour})
	if len(ids(r)) > 0 || !r.Certificate.Verified {
		t.Errorf("findings %v, %q", ids(r), r.Certificate.Error)
	}
}

func TestCertificateFaultsDoNotMultiply(t *testing.T) {
	ca := newCA(t)
	old := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-72*time.Hour), time.Now().Add(-48*time.Hour)
	}
	r := Run(t.Context(), serve(t, protocol.IMAP, issue(t, ca, old, name)), Options{Roots: ca.Pool(), Name: name})
	if got := ids(r); !slices.Equal(got, []string{"cert-expired"}) {
		t.Errorf("an expired certificate of a younger authority: %v, %s", got, r.Certificate.Error)
	}
	leaf := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	r = Run(t.Context(), serve(t, protocol.IMAP, issue(t, ca, leaf, name)), Options{Roots: ca.Pool(), Name: name})
	if r.Certificate.Verified || r.Level != "encrypt" {
		t.Errorf("a client's certificate on a server: verified %v", r.Certificate.Verified)
	}
}

// A self-signed certificate that may not sign others is self-signed all the same.
func TestSelfSignedWithoutCA(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c := &starttls.Config{TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	at := serve(t, protocol.IMAP, c)
	r := Run(t.Context(), at, Options{Roots: x509.NewCertPool(), Name: name})
	if !slices.Equal(ids(r), []string{"cert-self-signed"}) || r.Level != "encrypt" || r.Against != (Against{Eavesdropper: "safe", Attacker: "exposed", AttackerFix: find("cert-self-signed").fix}) {
		t.Errorf("%v, level %s, %+v", ids(r), r.Level, r.Against)
	}
	given, _ := x509.ParseCertificate(der)
	r = Run(t.Context(), at, Options{Roots: x509.NewCertPool(), Given: []*x509.Certificate{given}, Name: name})
	if len(ids(r)) > 0 || slices.ContainsFunc(r.Findings, Finding.Bad) || r.Findings[0].ID != "cert-self-signed" || r.Level != "verify" {
		t.Errorf("given by hand: %v, level %s", r.Findings, r.Level)
	}
}
