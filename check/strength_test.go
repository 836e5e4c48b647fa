package check

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"

	"golang.org/x/crypto/ocsp"
)

// publicCA is an authority that the system trusts, as far as these tests see.
var publicCA *testca.CA

func TestMain(m *testing.M) {
	os.Setenv("GODEBUG", "x509usefallbackroots=1")
	var err error
	if publicCA, err = testca.New("public root"); err != nil {
		panic(err)
	}
	x509.SetFallbackRoots(publicCA.Pool())
	os.Exit(m.Run())
}

// with makes a server's configuration with that one certificate.
func with(t *testing.T, cert tls.Certificate, err error) *starttls.Config {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return &starttls.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
}

func lasting(c *x509.Certificate) { c.NotAfter = time.Now().Add(90 * 24 * time.Hour) }

// certificateFixtures are the red ones of keys, signatures and revocation.
func certificateFixtures(t *testing.T, ca *testca.CA) map[string]fixture {
	serves := func(cfg func() *starttls.Config) fixture {
		return fixture{func() Target { return serve(t, protocol.Submission, cfg()) }, Upgraded}
	}
	issued := func(by *testca.CA, edit func(*x509.Certificate)) func() *starttls.Config {
		return func() *starttls.Config {
			cert, err := by.Issue(func(c *x509.Certificate) { lasting(c); edit(c) }, name)
			return with(t, cert, err)
		}
	}
	stapled := func(edit func(*ocsp.Response)) func() *starttls.Config {
		return func() *starttls.Config {
			cert, err := ca.Issue(lasting, name)
			if err == nil {
				cert.OCSPStaple, err = ca.Staple(cert.Leaf, edit)
			}
			return with(t, cert, err)
		}
	}
	return map[string]fixture{
		"cert-weak-key": serves(func() *starttls.Config {
			key, err := rsa.GenerateKey(rand.Reader, 1024)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := ca.IssueFor(key, lasting, name)
			return with(t, cert, err)
		}),
		"cert-weak-signature": serves(issued(ca, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 })),
		"cert-long-lived":     serves(issued(publicCA, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(500 * 24 * time.Hour) })),
		"cert-not-logged":     serves(issued(publicCA, func(c *x509.Certificate) {})),
		"cert-lint":           serves(issued(publicCA, func(c *x509.Certificate) {})),
		"cert-chain-order": serves(func() *starttls.Config {
			cert, err := ca.Issue(lasting, name)
			cert.Certificate = append([][]byte{cert.Certificate[0], publicCA.Certificate.Raw}, cert.Certificate[1:]...)
			return with(t, cert, err)
		}),
		"cert-must-staple": serves(issued(ca, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}}}
		})),
		"cert-revoked":    serves(stapled(func(o *ocsp.Response) { o.Status, o.RevokedAt = ocsp.Revoked, time.Now().Add(-time.Hour) })),
		"cert-staple-bad": serves(stapled(func(o *ocsp.Response) { o.NextUpdate = time.Now().Add(-time.Minute) })),
	}
}

// The authority is asked only where the user allows it, by OCSP or by its list.
func TestRevocationOnline(t *testing.T) {
	ca := newCA(t)
	var leaf *x509.Certificate
	revoked := false
	authority := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b []byte
		var err error
		switch {
		case r.URL.Path == "/ocsp":
			b, err = ca.Staple(leaf, func(o *ocsp.Response) {
				if revoked {
					o.Status, o.RevokedAt = ocsp.Revoked, time.Now()
				}
			})
		case revoked:
			b, err = ca.List(leaf)
		default:
			b, err = ca.List()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		w.Write(b)
	}))
	defer authority.Close()
	for way, edit := range map[string]func(*x509.Certificate){
		"ocsp": func(c *x509.Certificate) { c.OCSPServer = []string{authority.URL + "/ocsp"} },
		"list": func(c *x509.Certificate) { c.CRLDistributionPoints = []string{authority.URL + "/list"} },
	} {
		cert, err := ca.Issue(func(c *x509.Certificate) { lasting(c); edit(c) }, name)
		at := serve(t, protocol.Submission, with(t, cert, err))
		leaf = cert.Leaf
		for _, revoked = range []bool{false, true} {
			for _, online := range []bool{false, true} {
				r := Run(t.Context(), at, Options{Roots: ca.Pool(), Name: name, Level: Passive, Online: online})
				bad := ids(r)
				if found := len(bad) == 1 && bad[0] == "cert-revoked"; found != (revoked && online) {
					t.Errorf("%s, revoked %v, online %v: %v", way, revoked, online, r.Findings)
				}
			}
		}
	}
}
