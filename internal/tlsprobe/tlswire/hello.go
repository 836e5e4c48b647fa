package tlswire

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

// ClientHello is that message (RFC 8446, section 4.1.2; RFC 5246, section
// 7.4.1.2; RFC 6101, section 5.6.1.2).
type ClientHello struct {
	Version     uint16 // at most TLS 1.2: newer ones are an extension
	Random      [32]byte
	SessionID   []byte
	Suites      []uint16
	Compression []byte // nil: none
	Extensions  Extensions
}

// Compression methods (RFC 3749).
const (
	NoCompression uint8 = 0
	Deflate       uint8 = 1
)

// Signalling cipher suites: they ask for nothing to be encrypted.
const (
	RenegotiationSCSV uint16 = 0x00ff // RFC 5746, section 3.3
	FallbackSCSV      uint16 = 0x5600 // RFC 7507
)

// Marshal gives the message. It fails if a field does not fit its length.
func (h *ClientHello) Marshal() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8(uint8(ClientHelloMessage))
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(h.Version)
		b.AddBytes(h.Random[:])
		u8(b, h.SessionID)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, s := range h.Suites {
				b.AddUint16(s)
			}
		})
		if h.Compression == nil {
			u8(b, []byte{NoCompression})
		} else {
			u8(b, h.Compression)
		}
		h.Extensions.marshal(b)
	})
	return b.Bytes()
}

// ParseClientHello parses that message.
func ParseClientHello(body []byte) (*ClientHello, error) {
	s := cryptobyte.String(body)
	h := new(ClientHello)
	var id, suites, compression cryptobyte.String
	ok := s.ReadUint16(&h.Version) && s.CopyBytes(h.Random[:]) && s.ReadUint8LengthPrefixed(&id) && len(id) <= 32 &&
		s.ReadUint16LengthPrefixed(&suites) && s.ReadUint8LengthPrefixed(&compression)
	if ok {
		h.SessionID, h.Compression = id, compression
		h.Suites, ok = numbers(suites)
	}
	if ok && !s.Empty() {
		h.Extensions, ok = parseExtensions(&s)
	}
	if !ok || !s.Empty() {
		return nil, malformed("ClientHello")
	}
	return h, nil
}

// ServerHello is that message (RFC 8446, section 4.1.3; RFC 5246, section
// 7.4.1.3).
type ServerHello struct {
	Legacy      uint16 // its version field; see Version
	Random      [32]byte
	SessionID   []byte
	Suite       uint16
	Compression uint8
	Extensions  Extensions
}

// retryRandom marks a HelloRetryRequest (RFC 8446, section 4.1.3).
var retryRandom = sha256.Sum256([]byte("HelloRetryRequest"))

// Version is the version that the server chose.
func (h *ServerHello) Version() uint16 {
	if v, ok := h.Extensions.Get(ExtVersions); ok && len(v) == 2 {
		return binary.BigEndian.Uint16(v)
	}
	return h.Legacy
}

// Retry reports whether the message is a HelloRetryRequest.
func (h *ServerHello) Retry() bool { return h.Random == retryRandom }

// KeyShare is the group that was chosen in TLS 1.3, and the server's half,
// which a HelloRetryRequest lacks. ok is false where there is none.
func (h *ServerHello) KeyShare() (group uint16, public []byte, ok bool) {
	data, has := h.Extensions.Get(ExtKeyShare)
	s := cryptobyte.String(data)
	if !has || !s.ReadUint16(&group) {
		return 0, nil, false
	}
	if h.Retry() {
		return group, nil, s.Empty()
	}
	var share cryptobyte.String
	ok = s.ReadUint16LengthPrefixed(&share) && s.Empty()
	return group, share, ok
}

// Marshal gives the message.
func (h *ServerHello) Marshal() []byte {
	return message(ServerHelloMessage, func(b *cryptobyte.Builder) {
		b.AddUint16(h.Legacy)
		b.AddBytes(h.Random[:])
		u8(b, h.SessionID)
		b.AddUint16(h.Suite)
		b.AddUint8(h.Compression)
		h.Extensions.marshal(b)
	})
}

// ParseServerHello parses that message, and HelloRetryRequest.
func ParseServerHello(body []byte) (*ServerHello, error) {
	s := cryptobyte.String(body)
	h := new(ServerHello)
	var id cryptobyte.String
	ok := s.ReadUint16(&h.Legacy) && s.CopyBytes(h.Random[:]) && s.ReadUint8LengthPrefixed(&id) && len(id) <= 32 &&
		s.ReadUint16(&h.Suite) && s.ReadUint8(&h.Compression)
	h.SessionID = id
	if ok && !s.Empty() {
		h.Extensions, ok = parseExtensions(&s)
	}
	if !ok || !s.Empty() {
		return nil, malformed("ServerHello")
	}
	return h, nil
}

// Random draws a hello's random.
func Random() (r [32]byte) {
	rand.Read(r[:]) // never fails
	return r
}
