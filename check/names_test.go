package check

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"example.org/starttls"
	"example.org/starttls/protocol"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// sanWith makes a subject alternative name of one otherName.
func sanWith(id asn1.ObjectIdentifier, tag casn1.Tag, text string) pkix.Extension {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(id)
			b.AddASN1(casn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
			})
		})
	})
	return pkix.Extension{Id: oidSubjectAltName, Value: b.BytesOrPanic()}
}

func TestNamesOfServices(t *testing.T) {
	ca := newCA(t)
	for _, c := range []struct {
		san  pkix.Extension
		p    starttls.Protocol
		name string
		want bool
	}{
		{sanWith(oidSRVName, casn1.IA5String, "_imap.example.org"), protocol.IMAP, "example.org", true},
		{sanWith(oidSRVName, casn1.IA5String, "_IMAP.Example.org"), protocol.IMAP, "example.org", true},
		{sanWith(oidSRVName, casn1.IA5String, "_pop3.example.org"), protocol.IMAP, "example.org", false},
		{sanWith(oidSRVName, casn1.IA5String, "_imap.example.org"), protocol.IMAP, "mail.example.org", false},
		{sanWith(oidSRVName, casn1.IA5String, "_.example.org"), protocol.SMTP, "example.org", false},
		{sanWith(oidXMPPAddress, casn1.UTF8String, "example.org"), protocol.XMPPServer, "example.org", true},
		{sanWith(oidXMPPAddress, casn1.UTF8String, "example.org"), protocol.IMAP, "example.org", false},
		{sanWith(oidXMPPAddress, casn1.OCTET_STRING, "example.org"), protocol.XMPPServer, "example.org", false},
		{pkix.Extension{Id: oidSubjectAltName, Value: []byte{0x30, 4, 0xa0, 0x84, 1, 2}}, protocol.XMPPServer, "example.org", false},
	} {
		cert, err := ca.Issue(func(t *x509.Certificate) { t.ExtraExtensions = []pkix.Extension{c.san} })
		if err != nil {
			if c.want {
				t.Fatal(err)
			}
			continue // crypto/x509 does not read it at all
		}
		if got := isFor(cert.Leaf, c.p, c.name); got != c.want {
			t.Errorf("%q for %s: %v", c.san.Value, c.name, got)
		}
	}
}

func FuzzOtherNames(f *testing.F) {
	f.Add(sanWith(oidSRVName, casn1.IA5String, "_imap.example.org").Value)
	f.Add(sanWith(oidXMPPAddress, casn1.UTF8String, "example.org").Value)
	f.Add([]byte{0x30, 4, 0xa0, 0x84, 1, 2})
	f.Fuzz(func(t *testing.T, der []byte) {
		otherNames(&x509.Certificate{Extensions: []pkix.Extension{{Id: oidSubjectAltName, Value: der}}})
	})
}
