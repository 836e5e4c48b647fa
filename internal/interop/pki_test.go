package interop

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"example.org/starttls/internal/testca"
)

// certificate says what is wrong with a server's certificate. Zero is nothing.
type certificate int

const (
	good       certificate = iota
	expired                // since yesterday
	otherName              // issued by the root, but for other.example.net
	selfSigned             // for the right names, by nobody
	chained                // nothing, and its issuer is in the file; for every host of the domain
)

func (c certificate) String() string {
	return [...]string{"good", "expired", "other-name", "self-signed", "chained"}[c]
}

// pki is the throw-away root that all servers of a test run share.
type pki struct {
	CA   *testca.CA
	Pool *x509.CertPool // trusts it
	File string         // the same as PEM
}

var theAuthority struct {
	sync.Mutex
	*pki
}

// authority returns the root, made at the first call.
func authority(t testing.TB) *pki {
	t.Helper()
	theAuthority.Lock()
	defer theAuthority.Unlock()
	if theAuthority.pki != nil {
		return theAuthority.pki
	}
	ca, err := testca.New("interop test root")
	check(t, err)
	file := filepath.Join(shortDir(untilExit{t}), "ca.pem")
	check(t, os.WriteFile(file, ca.PEM(), 0o644))
	theAuthority.pki = &pki{CA: ca, Pool: ca.Pool(), File: file}
	return theAuthority.pki
}

// certify writes a certificate and its key into the server's folder.
func (s *server) certify(t testing.TB, kind certificate) (certFile, keyFile string) {
	t.Helper()
	leaf, err := issue(authority(t).CA, kind)
	check(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	check(t, err)
	text := pemText("CERTIFICATE", leaf.Certificate[0])
	if kind == chained {
		text += pemText("CERTIFICATE", leaf.Certificate[1])
	}
	certFile = s.write(t, kind.String()+".crt", text, 0o644)
	keyFile = s.write(t, kind.String()+".key", pemText("PRIVATE KEY", key), 0o600)
	return certFile, keyFile
}

func issue(ca *testca.CA, kind certificate) (tls.Certificate, error) {
	switch kind {
	case expired:
		return ca.Issue(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-72*time.Hour), time.Now().Add(-24*time.Hour)
		}, serverName, domain)
	case otherName:
		return ca.Issue(nil, "other.example.net")
	case selfSigned:
		leaf, err := ca.Issue(nil, serverName, domain)
		if err != nil {
			return leaf, err
		}
		return signItself(leaf)
	case chained:
		return ca.Issue(nil, "*."+domain)
	}
	return ca.Issue(nil, serverName, domain, "localhost") // the last for CUPS
}

// signItself replaces the issuer of a certificate by its own key.
func signItself(c tls.Certificate) (tls.Certificate, error) {
	key := c.PrivateKey.(crypto.Signer)
	t := *c.Leaf
	t.AuthorityKeyId = nil
	der, err := x509.CreateCertificate(rand.Reader, &t, &t, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
