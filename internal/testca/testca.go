// Package testca makes throw-away certificate authorities for demonstrations,
// tests and the lab.
package testca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"
)

// CA is a certificate authority whose key lives in memory alone.
type CA struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// New makes a CA that is valid for a day. If it presents itself (Self), name is
// a host name.
func New(name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	if !strings.Contains(name, " ") {
		t.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &CA{cert, key}, err
}

// Pool returns the roots that trust ca.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.Certificate)
	return p
}

// Self returns the authority's own certificate as a server would present it:
// self-signed, CA:TRUE, for the authority's name.
func (ca *CA) Self() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{ca.Certificate.Raw}, PrivateKey: ca.key, Leaf: ca.Certificate}
}

// PEM returns the root certificate as a PEM block.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw})
}

// Issue makes a server certificate for names, host names or addresses, with a
// key of its own. edit, if not nil, changes the template before it is signed;
// by default the certificate is valid from an hour ago for 23 hours.
func (ca *CA) Issue(edit func(*x509.Certificate), names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	return ca.IssueFor(key, edit, names...)
}

// IssueFor is Issue for a key that exists.
func (ca *CA) IssueFor(key crypto.Signer, edit func(*x509.Certificate), names ...string) (tls.Certificate, error) {
	cert, err := issue(key, ca.Certificate, ca.key, edit, names...)
	cert.Certificate = append(cert.Certificate, ca.Certificate.Raw)
	return cert, err
}

// issue makes a certificate of key for names, signed by parent's; without a
// parent, by itself.
func issue(key crypto.Signer, parent *x509.Certificate, signer crypto.Signer, edit func(*x509.Certificate), names ...string) (tls.Certificate, error) {
	now := time.Now().UTC()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(23 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	if len(t.DNSNames) > 0 {
		t.Subject.CommonName = t.DNSNames[0]
	}
	if edit != nil {
		edit(t)
	}
	if parent == nil {
		parent, signer = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// SelfSigned makes a certificate for names that no authority has signed.
func (*CA) SelfSigned(names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	return issue(key, nil, nil, nil, names...)
}

// IssueByLeaf makes a certificate for names that a certificate of ca has signed
// which is no authority's itself: no chain to trust (RFC 5280, section 4.2.1.9).
func (ca *CA) IssueByLeaf(names ...string) (tls.Certificate, error) {
	leaf, err := ca.Issue(nil, "leaf.example.test")
	if err != nil {
		return leaf, err
	}
	key := leaf.PrivateKey.(crypto.Signer)
	cert, err := issue(key, leaf.Leaf, key, nil, names...)
	cert.Certificate = append(cert.Certificate, leaf.Certificate...)
	return cert, err
}

// Staple makes an OCSP response about a certificate that ca issued; edit, if not
// nil, changes the template of a good one, valid from an hour ago for a day.
func (ca *CA) Staple(leaf *x509.Certificate, edit func(*ocsp.Response)) ([]byte, error) {
	now := time.Now().UTC()
	t := ocsp.Response{Status: ocsp.Good, SerialNumber: leaf.SerialNumber, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(23 * time.Hour)}
	if edit != nil {
		edit(&t)
	}
	return ocsp.CreateResponse(ca.Certificate, ca.Certificate, t, ca.key)
}

// List makes a revocation list with these certificates in it.
func (ca *CA) List(revoked ...*x509.Certificate) ([]byte, error) {
	now := time.Now().UTC()
	t := &x509.RevocationList{Number: big.NewInt(now.UnixNano()), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(23 * time.Hour)}
	for _, c := range revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: now.Add(-time.Minute)})
	}
	return x509.CreateRevocationList(rand.Reader, t, ca.Certificate, ca.key)
}
