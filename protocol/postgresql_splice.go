package protocol

import (
	"bytes"
	"encoding/binary"
	"strings"

	"example.org/starttls"
)

// Splice answers what is about encryption in the place of the backend, until the
// session begins: inside TLS a backend's consent would begin a second TLS, and
// in clear on the client's side there is none to be had.
func (p postgresql) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	for {
		head, err := s.Client.Peek(8)
		if err != nil {
			return nil, nil, err
		}
		code := binary.BigEndian.Uint32(head[4:])
		if code != pgGSSENCRequest && code != pgSSLRequest {
			if !s.Client.TLS() && s.Backend.TLS() {
				return nil, new(pgSASL).filter, nil
			}
			return nil, nil, nil
		}
		if code == pgSSLRequest && s.Client.TLS() {
			return nil, nil, &starttls.ReplyError{Expected: "a startup message", Reply: []byte("an SSLRequest inside TLS")}
		}
		if _, err := s.Client.ReadN(8); err != nil {
			return nil, nil, err
		}
		if _, err := s.Client.Write([]byte("N")); err != nil {
			return nil, nil, err
		}
		if err := s.Client.Refused(); err != nil {
			return nil, nil, err
		}
	}
}

// pgSASL takes the mechanisms that bind to TLS off the backend's list, for a
// client that has none: libpq gives up at the sight of one. It looks at messages
// up to that list, or up to another way to sign in.
type pgSASL struct {
	held []byte
	over bool
}

func (f *pgSASL) filter(b []byte) ([]byte, error) {
	if f.over {
		return b, nil
	}
	f.held = append(f.held, b...)
	out := []byte{}
	for len(f.held) >= 5 && !f.over {
		n := 1 + int(binary.BigEndian.Uint32(f.held[1:]))
		if n < 5 || n > pgMostError {
			return nil, errUnexpected("a message", f.held[:5])
		}
		if len(f.held) < n {
			return out, nil
		}
		message := f.held[:n]
		if f.over = message[0] == 'R'; f.over {
			message = pgWithoutBinding(message)
		}
		out, f.held = append(out, message...), f.held[n:]
	}
	if f.over {
		out, f.held = append(out, f.held...), nil
	}
	return out, nil
}

// pgWithoutBinding is AuthenticationSASL without mechanisms that end in -PLUS.
func pgWithoutBinding(message []byte) []byte {
	body := message[5:]
	if len(body) < 4 || binary.BigEndian.Uint32(body) != 10 {
		return message
	}
	list := string(body[:4])
	for name := range bytes.SplitSeq(bytes.Trim(body[4:], "\x00"), []byte{0}) {
		if !strings.HasSuffix(string(name), "-PLUS") {
			list += string(name) + "\x00"
		}
	}
	return pgPacket('R', list, "\x00")
}

// Unavailable is what a server says that is starting or going down.
func (postgresql) Unavailable() []byte {
	return pgError("FATAL", "57P03", "the service is not available now")
}
