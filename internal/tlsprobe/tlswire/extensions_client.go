package tlswire

import "golang.org/x/crypto/cryptobyte"

// The extensions of a ClientHello.

func extension(t uint16, data cryptobyte.BuilderContinuation) Extension {
	var b cryptobyte.Builder
	data(&b)
	return Extension{t, b.BytesOrPanic()}
}

// Empty is an extension without data: SCT, EncryptThenMAC, ExtendedMaster.
func Empty(t uint16) Extension { return Extension{Type: t} }

// list16 is a vector of numbers with a length of two bytes.
func list16(t uint16, v []uint16) Extension {
	return extension(t, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, x := range v {
				b.AddUint16(x)
			}
		})
	})
}

// ServerName asks for a host by name. A name of more than 65,000 bytes panics.
func ServerName(name string) Extension {
	return extension(ExtServerName, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint8(0) // host_name
			u16(b, []byte(name))
		})
	})
}

// Protocols offers application protocols, each of 1 to 255 bytes, the best
// first.
func Protocols(names ...string) Extension {
	return extension(ExtALPN, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, n := range names {
				u8(b, []byte(n))
			}
		})
	})
}

// Groups offers groups for the key exchange.
func Groups(ids []uint16) Extension { return list16(ExtGroups, ids) }

// Schemes offers signature schemes.
func Schemes(ids []uint16) Extension { return list16(ExtSchemes, ids) }

// SupportedVersions offers versions by the extension of TLS 1.3.
func SupportedVersions(v ...uint16) Extension {
	return extension(ExtVersions, func(b *cryptobyte.Builder) {
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, x := range v {
				b.AddUint16(x)
			}
		})
	})
}

// KeyShares offers the public halves. None provokes a HelloRetryRequest
// (RFC 8446, section 4.2.8).
func KeyShares(shares ...*KeyShare) Extension {
	return extension(ExtKeyShare, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, k := range shares {
				b.AddUint16(k.Group)
				u16(b, k.Public)
			}
		})
	})
}

// PointFormats offers uncompressed points alone.
func PointFormats() Extension { return Extension{ExtPointFormats, []byte{1, 0}} }

// StatusRequest asks for a stapled OCSP response of any responder.
func StatusRequest() Extension { return Extension{ExtStatusRequest, []byte{1, 0, 0, 0, 0}} }

// Heartbeat says that heartbeats may be sent to us.
func Heartbeat() Extension { return Extension{ExtHeartbeat, []byte{1}} }

// Ticket offers a session ticket; an empty one asks for one.
func Ticket(ticket []byte) Extension { return Extension{ExtTicket, ticket} }

// PSKModes says that a resumption comes with a fresh key exchange.
func PSKModes() Extension { return Extension{ExtPSKModes, []byte{1, 1}} }

// RenegotiationInfo says that renegotiation is bound to what was verified
// before: nothing in a first hello, our Finished message in a later one.
func RenegotiationInfo(verified []byte) Extension {
	return extension(ExtRenegotiationInfo, func(b *cryptobyte.Builder) { u8(b, verified) })
}

// Padding is n bytes of nothing.
func Padding(n int) Extension { return Extension{ExtPadding, make([]byte, n)} }

// PreSharedKey offers one ticket of TLS 1.3 with the age it claims and a binder
// of size zero bytes, to be replaced (RFC 8446, section 4.2.11).
func PreSharedKey(ticket []byte, age uint32, size int) Extension {
	return extension(ExtPreSharedKey, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			u16(b, ticket)
			b.AddUint32(age)
		})
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { u8(b, make([]byte, size)) })
	})
}

// ParseServerName reads what ServerName wrote.
func ParseServerName(data []byte) (string, error) {
	s := cryptobyte.String(data)
	var list, name cryptobyte.String
	var kind uint8
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() || !list.ReadUint8(&kind) || kind != 0 || !list.ReadUint16LengthPrefixed(&name) {
		return "", malformed("server_name")
	}
	return string(name), nil
}

// ParseProtocols reads what Protocols wrote, and a server's choice.
func ParseProtocols(data []byte) ([]string, error) {
	s := cryptobyte.String(data)
	var list, name cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() {
		return nil, malformed("ALPN")
	}
	var out []string
	for !list.Empty() {
		if !list.ReadUint8LengthPrefixed(&name) || name.Empty() {
			return nil, malformed("ALPN")
		}
		out = append(out, string(name))
	}
	return out, nil
}

// ParseNumbers reads what Groups and Schemes wrote.
func ParseNumbers(data []byte) ([]uint16, error) {
	s := cryptobyte.String(data)
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() {
		return nil, malformed("list")
	}
	out, ok := numbers(list)
	if !ok {
		return nil, malformed("list")
	}
	return out, nil
}
