package mta

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"time"

	"example.org/starttls/internal/testca"
)

// pki is the lab's throw-away authorities: one that senders are given, and one
// that only TLSA records name.
type pki struct{ trusted, stranger *testca.CA }

func newPKI() (*pki, error) {
	trusted, err := testca.New("starttls lab root")
	if err != nil {
		return nil, err
	}
	unknown, err := testca.New("a root nobody was given")
	return &pki{trusted, unknown}, err
}

// certificate makes one for a server, or for the mail domain that it is of.
type certificate func(p *pki, name, domain string) (tls.Certificate, error)

func good(p *pki, name, _ string) (tls.Certificate, error) { return p.trusted.Issue(nil, name) }

func expired(p *pki, name, _ string) (tls.Certificate, error) {
	return p.trusted.Issue(longAgo, name)
}

func otherName(p *pki, _, _ string) (tls.Certificate, error) {
	return p.trusted.Issue(nil, "other.example.test")
}

func stranger(p *pki, name, _ string) (tls.Certificate, error) { return p.stranger.Issue(nil, name) }

func forDomain(p *pki, _, domain string) (tls.Certificate, error) {
	return p.stranger.Issue(nil, domain)
}

func strangerOther(p *pki, _, _ string) (tls.Certificate, error) {
	return p.stranger.Issue(nil, "other.example.test")
}

func strangerExpired(p *pki, name, _ string) (tls.Certificate, error) {
	return p.stranger.Issue(longAgo, name)
}

// strangerAlone is served without the certificate of its authority.
func strangerAlone(p *pki, name, _ string) (tls.Certificate, error) {
	c, err := p.stranger.Issue(nil, name)
	c.Certificate = c.Certificate[:1]
	return c, err
}

func longAgo(t *x509.Certificate) {
	t.NotBefore, t.NotAfter = time.Now().Add(-72*time.Hour), time.Now().Add(-48*time.Hour)
}

// tlsaWords fills in what a server's certificate decides in TLSA records: {spki}
// is the digest of its key, {ca} that of the certificate of the authority that
// nobody knows, {other} that of neither.
func (p *pki) tlsaWords(leaf *x509.Certificate) *strings.Replacer {
	key := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	ca := sha256.Sum256(p.stranger.Certificate.Raw)
	return strings.NewReplacer("{spki}", hex.EncodeToString(key[:]), "{ca}", hex.EncodeToString(ca[:]), "{other}", strings.Repeat("ab", sha256.Size))
}
