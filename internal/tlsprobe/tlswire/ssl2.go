package tlswire

import "golang.org/x/crypto/cryptobyte"

// SSL 2.0 is in no RFC; draft-hickman-netscape-ssl-00 describes it, and RFC
// 6176 forbids it. RFC 5246, appendix E.2, has its ClientHello.

// Messages of SSL 2.0.
const (
	ssl2Error       = 0
	ssl2ClientHello = 1
	ssl2ServerHello = 4
)

// SSL2Cipher is a cipher kind of SSL 2.0.
type SSL2Cipher uint32

// SSL2Ciphers are all the cipher kinds of SSL 2.0, the strongest first.
var SSL2Ciphers = []SSL2Cipher{0x0700c0, 0x010080, 0x030080, 0x050080, 0x080080, 0x060040, 0x020080, 0x040080}

var ssl2Names = map[SSL2Cipher]string{
	0x0700c0: "SSL_CK_DES_192_EDE3_CBC_WITH_MD5", 0x010080: "SSL_CK_RC4_128_WITH_MD5",
	0x030080: "SSL_CK_RC2_128_CBC_WITH_MD5", 0x050080: "SSL_CK_IDEA_128_CBC_WITH_MD5",
	0x080080: "SSL_CK_RC4_64_WITH_MD5", 0x060040: "SSL_CK_DES_64_CBC_WITH_MD5",
	0x020080: "SSL_CK_RC4_128_EXPORT40_WITH_MD5", 0x040080: "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5",
}

func (c SSL2Cipher) String() string {
	if name, ok := ssl2Names[c]; ok {
		return name
	}
	return "SSL 2.0 cipher kind " + hex16(uint16(c>>8)) + "," + hex16(uint16(c&0xff))
}

// Export reports whether the key has only 40 bits that are secret.
func (c SSL2Cipher) Export() bool { return c == 0x020080 || c == 0x040080 }

// SSL2Hello is a CLIENT-HELLO.
type SSL2Hello struct {
	Version   uint16
	Ciphers   []SSL2Cipher
	SessionID []byte
	Challenge []byte // 16 to 32 bytes
}

// Marshal gives the message with its record header.
func (h *SSL2Hello) Marshal() []byte {
	return ssl2Record(func(b *cryptobyte.Builder) {
		b.AddUint8(ssl2ClientHello)
		b.AddUint16(h.Version)
		b.AddUint16(uint16(3 * len(h.Ciphers)))
		b.AddUint16(uint16(len(h.SessionID)))
		b.AddUint16(uint16(len(h.Challenge)))
		addSSL2Ciphers(b, h.Ciphers)
		b.AddBytes(h.SessionID)
		b.AddBytes(h.Challenge)
	})
}

// ParseSSL2Hello parses a CLIENT-HELLO without its record header.
func ParseSSL2Hello(body []byte) (*SSL2Hello, error) {
	s := cryptobyte.String(body)
	h := new(SSL2Hello)
	var kind uint8
	var ciphers, id, challenge uint16
	ok := s.ReadUint8(&kind) && kind == ssl2ClientHello && s.ReadUint16(&h.Version) &&
		s.ReadUint16(&ciphers) && s.ReadUint16(&id) && s.ReadUint16(&challenge) &&
		readSSL2Ciphers(&s, int(ciphers), &h.Ciphers) && s.ReadBytes(&h.SessionID, int(id)) && s.ReadBytes(&h.Challenge, int(challenge))
	if !ok || !s.Empty() {
		return nil, malformed("SSL 2.0 CLIENT-HELLO")
	}
	return h, nil
}

// SSL2ServerHello is a SERVER-HELLO: unlike later ones, it lists all the
// ciphers of the offer that the server would take.
type SSL2ServerHello struct {
	Version      uint16
	Certificate  []byte // DER
	Ciphers      []SSL2Cipher
	ConnectionID []byte
}

// Marshal gives the message with its record header.
func (h *SSL2ServerHello) Marshal() []byte {
	return ssl2Record(func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{ssl2ServerHello, 0, 1}) // no session of before; X.509
		b.AddUint16(h.Version)
		b.AddUint16(uint16(len(h.Certificate)))
		b.AddUint16(uint16(3 * len(h.Ciphers)))
		b.AddUint16(uint16(len(h.ConnectionID)))
		b.AddBytes(h.Certificate)
		addSSL2Ciphers(b, h.Ciphers)
		b.AddBytes(h.ConnectionID)
	})
}

// ParseSSL2ServerHello parses a SERVER-HELLO without its record header.
func ParseSSL2ServerHello(body []byte) (*SSL2ServerHello, error) {
	s := cryptobyte.String(body)
	h := new(SSL2ServerHello)
	var kind, hit, form uint8
	var cert, ciphers, id uint16
	ok := s.ReadUint8(&kind) && kind == ssl2ServerHello && s.ReadUint8(&hit) && s.ReadUint8(&form) && s.ReadUint16(&h.Version) &&
		s.ReadUint16(&cert) && s.ReadUint16(&ciphers) && s.ReadUint16(&id) &&
		s.ReadBytes(&h.Certificate, int(cert)) && readSSL2Ciphers(&s, int(ciphers), &h.Ciphers) && s.ReadBytes(&h.ConnectionID, int(id))
	if !ok || !s.Empty() {
		return nil, malformed("SSL 2.0 SERVER-HELLO")
	}
	return h, nil
}

func ssl2Record(body cryptobyte.BuilderContinuation) []byte {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(body)
	out := b.BytesOrPanic()
	out[0] |= 0x80 // two bytes of header, no padding
	return out
}

func addSSL2Ciphers(b *cryptobyte.Builder, ciphers []SSL2Cipher) {
	for _, c := range ciphers {
		b.AddUint24(uint32(c))
	}
}

func readSSL2Ciphers(s *cryptobyte.String, n int, out *[]SSL2Cipher) bool {
	var list []byte
	if n%3 != 0 || !s.ReadBytes(&list, n) {
		return false
	}
	l := cryptobyte.String(list)
	for !l.Empty() {
		var c uint32
		l.ReadUint24(&c)
		*out = append(*out, SSL2Cipher(c))
	}
	return true
}

// ReadSSL2 reads one record of SSL 2.0 in clear and gives its body. Where the
// peer speaks TLS instead, its alert is the error; all else is a
// *CleartextError.
func (c *Conn) ReadSSL2() ([]byte, error) {
	for {
		b := c.unread
		if _, _, ok, more := parseRecord(b); len(b) > 0 && (ok || more) {
			m, err := c.ReadMessage()
			if err == nil {
				err = &UnexpectedError{Record{Type: HandshakeRecord, Body: m.Raw}}
			}
			return nil, err
		}
		if len(b) > 0 && b[0]&0x80 == 0 || len(b) > 2 && b[2] != ssl2Error && b[2] != ssl2ClientHello && b[2] != ssl2ServerHello {
			return nil, &CleartextError{c.take()}
		}
		if len(b) > 2 {
			if n := 2 + (int(b[0]&0x7f)<<8 | int(b[1])); len(b) >= n {
				c.unread = b[n:]
				return b[2:n:n], nil
			}
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}
