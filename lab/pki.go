package lab

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"example.org/starttls/internal/testca"
)

// hostName is whom the lab's certificates are for, unless it is told otherwise:
// a name, since some clients send none to an address, that every machine knows.
const hostName = "localhost"

// pki is a lab's throw-away authorities: one that clients are given, and one
// that they are not.
type pki struct {
	trusted, stranger *testca.CA
	names             []string // of the server; the first is the one clients are told
}

func newPKI(names ...string) (*pki, error) {
	trusted, err := testca.New("starttls lab root")
	if err != nil {
		return nil, err
	}
	stranger, err := testca.New("a root nobody was given")
	return &pki{trusted, stranger, names}, err
}

// present is the configuration of a server with one certificate.
func present(cert tls.Certificate, err error) (*tls.Config, error) {
	return &tls.Config{Certificates: []tls.Certificate{cert}}, err
}

func (k *pki) good() (*tls.Config, error) { return present(k.trusted.Issue(nil, k.names...)) }

// edited is a certificate of the trusted authority, right but for what edit
// changes.
func edited(edit func(*x509.Certificate)) func(*pki) (*tls.Config, error) {
	return func(k *pki) (*tls.Config, error) { return present(k.trusted.Issue(edit, k.names...)) }
}

func validity(from, until time.Duration) func(*pki) (*tls.Config, error) {
	return edited(func(t *x509.Certificate) {
		now := time.Now()
		t.NotBefore, t.NotAfter = now.Add(from), now.Add(until)
	})
}
