package tlswire

import "golang.org/x/crypto/cryptobyte"

// SessionTicket is a NewSessionTicket message (RFC 5077, section 3.3; RFC 8446,
// section 4.6.1).
type SessionTicket struct {
	Lifetime  uint32 // seconds; before TLS 1.3, 0 is unsaid
	Ticket    []byte
	AgeAdd    uint32 // TLS 1.3
	Nonce     []byte // TLS 1.3
	EarlyData uint32 // TLS 1.3: bytes of 0-RTT data that the server would take; 0 is none
}

// ParseTicket parses that message as version has it.
func ParseTicket(version uint16, body []byte) (*SessionTicket, error) {
	s := cryptobyte.String(body)
	t := new(SessionTicket)
	var nonce, ticket cryptobyte.String
	ok := s.ReadUint32(&t.Lifetime)
	if version >= TLS13 {
		ok = ok && s.ReadUint32(&t.AgeAdd) && s.ReadUint8LengthPrefixed(&nonce)
	}
	ok = ok && s.ReadUint16LengthPrefixed(&ticket)
	t.Nonce, t.Ticket = nonce, ticket
	if ok && version >= TLS13 {
		var e Extensions
		e, ok = parseExtensions(&s)
		if data, has := e.Get(ExtEarlyData); has {
			d := cryptobyte.String(data)
			ok = ok && d.ReadUint32(&t.EarlyData) && d.Empty()
		}
	}
	if !ok || !s.Empty() {
		return nil, malformed("NewSessionTicket")
	}
	return t, nil
}

// Marshal gives the message as it is up to TLS 1.2.
func (t *SessionTicket) Marshal() []byte {
	return message(NewSessionTicket, func(b *cryptobyte.Builder) {
		b.AddUint32(t.Lifetime)
		u16(b, t.Ticket)
	})
}
