package tlswire

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// Extension types (IANA's registry "TLS ExtensionType Values").
const (
	ExtServerName        uint16 = 0      // RFC 6066, section 3
	ExtStatusRequest     uint16 = 5      // RFC 6066, section 8
	ExtGroups            uint16 = 10     // RFC 8422, section 5.1; RFC 8446, section 4.2.7
	ExtPointFormats      uint16 = 11     // RFC 8422, section 5.1.2
	ExtSchemes           uint16 = 13     // RFC 8446, section 4.2.3
	ExtHeartbeat         uint16 = 15     // RFC 6520
	ExtALPN              uint16 = 16     // RFC 7301
	ExtSCT               uint16 = 18     // RFC 6962, section 3.3.1
	ExtPadding           uint16 = 21     // RFC 7685
	ExtEncryptThenMAC    uint16 = 22     // RFC 7366
	ExtExtendedMaster    uint16 = 23     // RFC 7627
	ExtTicket            uint16 = 35     // RFC 5077
	ExtPreSharedKey      uint16 = 41     // RFC 8446, section 4.2.11
	ExtEarlyData         uint16 = 42     // RFC 8446, section 4.2.10
	ExtVersions          uint16 = 43     // RFC 8446, section 4.2.1
	ExtCookie            uint16 = 44     // RFC 8446, section 4.2.2
	ExtPSKModes          uint16 = 45     // RFC 8446, section 4.2.9
	ExtKeyShare          uint16 = 51     // RFC 8446, section 4.2.8
	ExtRenegotiationInfo uint16 = 0xff01 // RFC 5746, section 3.2
)

// Extension is one extension of a hello.
type Extension struct {
	Type uint16
	Data []byte
}

// Extensions is a hello's block of them, in order. nil is no block at all, as
// in SSL 3.0.
type Extensions []Extension

// Get finds the data of the first extension of type t.
func (e Extensions) Get(t uint16) (data []byte, ok bool) {
	for _, x := range e {
		if x.Type == t {
			return x.Data, true
		}
	}
	return nil, false
}

// Has reports whether there is an extension of type t.
func (e Extensions) Has(t uint16) bool {
	_, ok := e.Get(t)
	return ok
}

// With returns a copy in which x takes the place of the extension of its type,
// or the last place.
func (e Extensions) With(x Extension) Extensions {
	out := slices.Clone(e)
	for i := range out {
		if out[i].Type == x.Type {
			out[i] = x
			return out
		}
	}
	return append(out, x)
}

// Without returns a copy in which no extension is of type t.
func (e Extensions) Without(t uint16) Extensions {
	return slices.DeleteFunc(slices.Clone(e), func(x Extension) bool { return x.Type == t })
}

func (e Extensions) marshal(b *cryptobyte.Builder) {
	if e == nil {
		return
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, x := range e {
			b.AddUint16(x.Type)
			u16(b, x.Data)
		}
	})
}

// parseExtensions takes a block with its length from the front of s.
func parseExtensions(s *cryptobyte.String) (Extensions, bool) {
	var block cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&block) {
		return nil, false
	}
	out := Extensions{}
	for !block.Empty() {
		var t uint16
		var data cryptobyte.String
		if !block.ReadUint16(&t) || !block.ReadUint16LengthPrefixed(&data) {
			return nil, false
		}
		out = append(out, Extension{t, data})
	}
	return out, true
}

// ParseEncryptedExtensions parses that message of TLS 1.3 (RFC 8446, section
// 4.3.1).
func ParseEncryptedExtensions(body []byte) (Extensions, error) {
	s := cryptobyte.String(body)
	e, ok := parseExtensions(&s)
	if !ok || !s.Empty() {
		return nil, malformed("EncryptedExtensions")
	}
	return e, nil
}
