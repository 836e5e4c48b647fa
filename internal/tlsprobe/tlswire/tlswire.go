// Package tlswire is a codec of SSL 2.0 to TLS 1.3: records, handshake
// messages, the tables of what they may name, and as much of the cryptography
// as finishing a handshake takes. It knows what crypto/tls leaves out, because
// nobody should speak it any more and somebody must ask for it: SSL, export
// and anonymous cipher suites, DHE, compression, renegotiation.
//
// Both ends are here. Package tlsprobe speaks the client's with it, package
// badserver the server's. It guards nothing: no certificate is verified, no
// signature, no Finished message.
//
// A Parse function takes a message without its header, fails on what is cut
// short or followed by more, and keeps slices of its argument. A Marshal
// method returns a handshake message with its header; what does not fit its
// length field is an error for what users name and a panic for the rest.
package tlswire

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// Protocol versions, as hellos name them.
const (
	SSL2  uint16 = 0x0002
	SSL3  uint16 = 0x0300
	TLS10 uint16 = 0x0301
	TLS11 uint16 = 0x0302
	TLS12 uint16 = 0x0303
	TLS13 uint16 = 0x0304
)

// Versions are all there are, the oldest first.
var Versions = []uint16{SSL2, SSL3, TLS10, TLS11, TLS12, TLS13}

// VersionName gives "SSL 2.0" to "TLS 1.3", or the number in hexadecimal.
func VersionName(v uint16) string {
	switch {
	case v == SSL2:
		return "SSL 2.0"
	case v == SSL3:
		return "SSL 3.0"
	case v >= TLS10 && v <= TLS13:
		return fmt.Sprintf("TLS 1.%d", v-TLS10)
	}
	return hex16(v)
}

func hex16(v uint16) string { return fmt.Sprintf("0x%04x", v) }

// MessageType is the first byte of a handshake message (RFC 8446, section 4;
// RFC 5246, section 7.4).
type MessageType uint8

// The messages that are read or written here.
const (
	HelloRequest        MessageType = 0
	ClientHelloMessage  MessageType = 1
	ServerHelloMessage  MessageType = 2
	NewSessionTicket    MessageType = 4
	EncryptedExtensions MessageType = 8
	Certificate         MessageType = 11
	ServerKeyExchange   MessageType = 12
	CertificateRequest  MessageType = 13
	ServerHelloDone     MessageType = 14
	CertificateVerify   MessageType = 15
	ClientKeyExchange   MessageType = 16
	Finished            MessageType = 20
	CertificateStatus   MessageType = 22
	messageHash         MessageType = 254
)

// Message is one handshake message.
type Message struct {
	Type MessageType
	Body []byte // without the header
	Raw  []byte // with it
}

var errMalformed = errors.New("malformed message")

// IsMalformed reports whether err is of a Parse function.
func IsMalformed(err error) bool { return errors.Is(err, errMalformed) }

func malformed(what string) error { return fmt.Errorf("%w: %s", errMalformed, what) }

// NewMessage puts a header before body.
func NewMessage(t MessageType, body []byte) []byte {
	return message(t, func(b *cryptobyte.Builder) { b.AddBytes(body) })
}

func message(t MessageType, body cryptobyte.BuilderContinuation) []byte {
	var b cryptobyte.Builder
	b.AddUint8(uint8(t))
	b.AddUint24LengthPrefixed(body)
	return b.BytesOrPanic()
}

// u8, u16 and u24 build a vector with a length of one, two or three bytes
// (RFC 8446, section 3.4).
func u8(b *cryptobyte.Builder, v []byte) {
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v) })
}

func u16(b *cryptobyte.Builder, v []byte) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v) })
}

func u24(b *cryptobyte.Builder, v []byte) {
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v) })
}

// numbers reads all of s as numbers of two bytes.
func numbers(s cryptobyte.String) ([]uint16, bool) {
	if len(s)%2 != 0 {
		return nil, false
	}
	out := make([]uint16, 0, len(s)/2)
	for !s.Empty() {
		var v uint16
		s.ReadUint16(&v)
		out = append(out, v)
	}
	return out, true
}
