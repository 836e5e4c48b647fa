package starttls_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"

	"golang.org/x/crypto/ocsp"
)

// A client refuses the certificate that its own server says is revoked; of
// another's it believes nothing, and of garbage neither.
func TestStapledRevocation(t *testing.T) {
	ca, err := testca.New("staple root")
	if err != nil {
		t.Fatal(err)
	}
	other, err := ca.Issue(nil, "other.example.test")
	if err != nil {
		t.Fatal(err)
	}
	revoked := func(c tls.Certificate) []byte {
		b, err := ca.Staple(c.Leaf, func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, time.Now() })
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		staple  func(tls.Certificate) []byte
		revoked bool
	}{
		"good":      {func(c tls.Certificate) []byte { b, _ := ca.Staple(c.Leaf, nil); return b }, false},
		"none":      {func(tls.Certificate) []byte { return nil }, false},
		"its own":   {revoked, true},
		"another's": {func(tls.Certificate) []byte { return revoked(other) }, false},
		"garbage":   {func(tls.Certificate) []byte { return []byte("\x30\x03\x0a\x01\x00") }, false},
	} {
		for _, mode := range []starttls.Mode{starttls.Required, starttls.Opportunistic} {
			cert, err := ca.Issue(nil, "127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			cert.OCSPStaple = c.staple(cert)
			addr := listen(t, protocol.SMTP, &starttls.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}).Addr().String()
			conn, err := starttls.Dial(t.Context(), addr, protocol.SMTP, &starttls.Config{Mode: mode, TLS: &tls.Config{RootCAs: ca.Pool()}})
			why := err
			if mode == starttls.Opportunistic && err == nil {
				why = conn.Unverified()
			}
			if got := why != nil && strings.Contains(why.Error(), "revoked"); got != c.revoked || !c.revoked && why != nil {
				t.Errorf("%s, %v: %v", name, mode, errors.Join(err, why))
			}
			if conn != nil {
				conn.Close()
			}
		}
	}
}
