package tlswire

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
)

// Bodies of messages as the RFCs draw them, written by hand.
func TestMessages(t *testing.T) {
	chain := [][]byte{[]byte("leaf"), []byte("root")}
	cases := []struct {
		name      string
		body      []byte
		parse     func([]byte) (any, error)
		want      any
		malformed bool // what is cut short at any byte is malformed
	}{
		{"Certificate", MarshalCertificates(chain)[4:], func(b []byte) (any, error) { return ParseCertificates(b) }, chain, true},
		{"Certificate of TLS 1.3", []byte("\x00\x00\x00\x0d\x00\x00\x02AB\x00\x06\x00\x12\x00\x02xy"),
			func(b []byte) (any, error) { return ParseCertificates13(b) },
			[]CertificateEntry{{[]byte("AB"), Extensions{{ExtSCT, []byte("xy")}}}}, true},
		{"no certificate of TLS 1.3", NoCertificate13([]byte("context"))[4:],
			func(b []byte) (any, error) { return ParseCertificates13(b) }, []CertificateEntry(nil), true},
		{"CertificateStatus", []byte("\x01\x00\x00\x03abc"), func(b []byte) (any, error) { return ParseStatus(b) }, []byte("abc"), true},
		{"SCTs", []byte("\x00\x07\x00\x02ab\x00\x01c"), func(b []byte) (any, error) { return ParseSCTs(b) }, [][]byte{[]byte("ab"), []byte("c")}, true},
		{"CertificateRequest of TLS 1.0", []byte("\x01\x40\x00\x05\x00\x03abc"),
			func(b []byte) (any, error) { return ParseCertificateRequest(TLS10, b) },
			&CertificateAsk{Types: []byte{0x40}, Names: [][]byte{[]byte("abc")}}, true},
		{"CertificateRequest of TLS 1.2", []byte("\x01\x40\x00\x02\x04\x01\x00\x00"),
			func(b []byte) (any, error) { return ParseCertificateRequest(TLS12, b) },
			&CertificateAsk{Types: []byte{0x40}, Schemes: []uint16{PKCS1SHA256}}, true},
		{"CertificateRequest of TLS 1.3", []byte("\x01c\x00\x08\x00\x0d\x00\x04\x00\x02\x08\x04"),
			func(b []byte) (any, error) { return ParseCertificateRequest(TLS13, b) },
			&CertificateAsk{Context: []byte("c"), Schemes: []uint16{PSSSHA256}}, true},
		{"NewSessionTicket of TLS 1.2", (&SessionTicket{Lifetime: 300, Ticket: []byte("ticket")}).Marshal()[4:],
			func(b []byte) (any, error) { return ParseTicket(TLS12, b) },
			&SessionTicket{Lifetime: 300, Ticket: []byte("ticket")}, true},
		{"NewSessionTicket of TLS 1.3", []byte("\x00\x00\x01\x2c\x00\x00\x00\x07\x01n\x00\x01t\x00\x08\x00\x2a\x00\x04\x00\x00\x40\x00"),
			func(b []byte) (any, error) { return ParseTicket(TLS13, b) },
			&SessionTicket{Lifetime: 300, AgeAdd: 7, Nonce: []byte("n"), Ticket: []byte("t"), EarlyData: 16384}, true},
		{"EncryptedExtensions", []byte("\x00\x09\x00\x10\x00\x05\x00\x03\x02h2"),
			func(b []byte) (any, error) { return ParseEncryptedExtensions(b) }, Extensions{Protocols("h2")}, true},
		{"server_name", ServerName("a.example").Data, func(b []byte) (any, error) { return ParseServerName(b) }, "a.example", true},
		{"ALPN", Protocols("imap", "h2").Data, func(b []byte) (any, error) { return ParseProtocols(b) }, []string{"imap", "h2"}, true},
		{"groups", Groups([]uint16{X25519, P256}).Data, func(b []byte) (any, error) { return ParseNumbers(b) }, []uint16{X25519, P256}, true},
	}
	for _, c := range cases {
		got, err := c.parse(c.body)
		if err != nil || !equal(got, c.want) {
			t.Errorf("%s: %#v, %v, want %#v", c.name, got, err, c.want)
		}
		for n := range c.body {
			if _, err := c.parse(c.body[:n]); !IsMalformed(err) {
				t.Errorf("%s: cut short after %d of %d bytes: %v", c.name, n, len(c.body), err)
			}
		}
		if _, err := c.parse(slices.Concat(c.body, []byte{0})); !IsMalformed(err) {
			t.Errorf("%s: with a byte behind: %v", c.name, err)
		}
	}
}

// equal is reflect.DeepEqual to which nothing and no bytes are the same.
func equal(a, b any) bool {
	x, isTicket := a.(*SessionTicket)
	if y, ok := b.(*SessionTicket); ok && isTicket {
		return x.Lifetime == y.Lifetime && x.AgeAdd == y.AgeAdd && x.EarlyData == y.EarlyData && bytes.Equal(x.Nonce, y.Nonce) && bytes.Equal(x.Ticket, y.Ticket)
	}
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	if v.Kind() == reflect.Slice && v.Len() == 0 && w.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a, b)
}
