package tlswire

import (
	"math/big"

	"golang.org/x/crypto/cryptobyte"
)

// KeyExchange is a ServerKeyExchange message (RFC 5246, section 7.4.3; RFC
// 8422, section 5.4; RFC 4346, appendix D.1 for export).
type KeyExchange struct {
	Group  uint16   // of ECDHE; 0 is an explicit curve, which is not read further
	Public []byte   // the server's half: ECDHE's point or DHE's Ys
	P, G   *big.Int // of DHE
	RSA    *big.Int // modulus of a temporary key, of RSA_EXPORT

	Params    []byte // what is signed, behind the two randoms
	Scheme    uint16 // TLS 1.2: how
	Signature []byte // nil: unsigned
}

// Bits is the size of the key: of DHE's prime or of a temporary RSA key; 0 for
// ECDHE.
func (k *KeyExchange) Bits() int {
	switch {
	case k.P != nil:
		return k.P.BitLen()
	case k.RSA != nil:
		return k.RSA.BitLen()
	}
	return 0
}

const namedCurve = 3 // RFC 8422, section 5.4

// ParseKeyExchange parses that message as the version and the suite have it. Of
// suites whose message is of no use here (SRP, plain PSK) it reads nothing.
func ParseKeyExchange(version uint16, suite Suite, body []byte) (*KeyExchange, error) {
	s := cryptobyte.String(body)
	k := new(KeyExchange)
	var ok bool
	if suite.Exchange == OtherExchange {
		return k, nil
	}
	if suite.Is(PSK) { // RFC 4279, section 3; RFC 5489, section 2
		var hint cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&hint) {
			return nil, malformed("ServerKeyExchange")
		}
	}
	begin := s
	switch suite.Exchange {
	case DHE:
		ok = readInt(&s, &k.P) && readInt(&s, &k.G) && s.ReadUint16LengthPrefixed((*cryptobyte.String)(&k.Public))
	case ExportRSA:
		var exponent *big.Int
		ok = readInt(&s, &k.RSA) && readInt(&s, &exponent)
	case ECDHE:
		var kind uint8
		ok = s.ReadUint8(&kind)
		if ok && kind != namedCurve {
			return k, nil
		}
		ok = ok && s.ReadUint16(&k.Group) && s.ReadUint8LengthPrefixed((*cryptobyte.String)(&k.Public))
	}
	k.Params = begin[:len(begin)-len(s)]
	if ok && !suite.Is(Anonymous|PSK) {
		if version >= TLS12 {
			ok = s.ReadUint16(&k.Scheme)
		}
		ok = ok && s.ReadUint16LengthPrefixed((*cryptobyte.String)(&k.Signature))
	}
	if !ok || !s.Empty() {
		return nil, malformed("ServerKeyExchange")
	}
	return k, nil
}

// readInt reads a number of at most 16,384 bits.
func readInt(s *cryptobyte.String, n **big.Int) bool {
	var b cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&b) || len(b) > 2048 {
		return false
	}
	*n = new(big.Int).SetBytes(b)
	return true
}

// DHEParams gives the parameters of DHE to be signed.
func DHEParams(p, g *big.Int, public []byte) []byte {
	var b cryptobyte.Builder
	u16(&b, p.Bytes())
	u16(&b, g.Bytes())
	u16(&b, public)
	return b.BytesOrPanic()
}

// ECDHEParams gives the parameters of ECDHE to be signed.
func ECDHEParams(group uint16, public []byte) []byte {
	var b cryptobyte.Builder
	b.AddUint8(namedCurve)
	b.AddUint16(group)
	u8(&b, public)
	return b.BytesOrPanic()
}

// ExportParams gives the parameters of RSA_EXPORT to be signed.
func ExportParams(modulus *big.Int) []byte {
	var b cryptobyte.Builder
	u16(&b, modulus.Bytes())
	u16(&b, []byte{1, 0, 1})
	return b.BytesOrPanic()
}

// MarshalKeyExchange gives a ServerKeyExchange message. A nil signature is left
// out; the scheme belongs to TLS 1.2 alone.
func MarshalKeyExchange(version uint16, params []byte, scheme uint16, signature []byte) []byte {
	return message(ServerKeyExchange, func(b *cryptobyte.Builder) {
		b.AddBytes(params)
		if signature == nil {
			return
		}
		if version >= TLS12 {
			b.AddUint16(scheme)
		}
		u16(b, signature)
	})
}

// MarshalClientKeyExchange gives that message with our half: of ECDHE with a
// length of one byte, of DHE and of RSA, where it is the encrypted secret, of
// two (RFC 5246, section 7.4.7; RFC 8422, section 5.7).
func MarshalClientKeyExchange(suite Suite, half []byte) []byte {
	return message(ClientKeyExchange, func(b *cryptobyte.Builder) {
		if suite.Exchange == ECDHE {
			u8(b, half)
		} else {
			u16(b, half)
		}
	})
}

// ParseClientKeyExchange gives the client's half.
func ParseClientKeyExchange(suite Suite, body []byte) ([]byte, error) {
	s := cryptobyte.String(body)
	var half cryptobyte.String
	read := s.ReadUint16LengthPrefixed
	if suite.Exchange == ECDHE {
		read = s.ReadUint8LengthPrefixed
	}
	if !read(&half) || !s.Empty() {
		return nil, malformed("ClientKeyExchange")
	}
	return half, nil
}
