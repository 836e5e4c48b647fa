package interop

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
)

// writePair writes a certificate and its key into the server's folder.
func (s *server) writePair(t testing.TB, name string, leaf tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	check(t, err)
	certFile = s.write(t, name+".crt", pemText("CERTIFICATE", leaf.Certificate[0]), 0o644)
	keyFile = s.write(t, name+".key", pemText("PRIVATE KEY", key), 0o600)
	return certFile, keyFile
}
