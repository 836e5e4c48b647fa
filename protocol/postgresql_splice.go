package protocol

import (
	"encoding/binary"

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

// Unavailable is what a server says that is starting or going down.
func (postgresql) Unavailable() []byte {
	return pgError("FATAL", "57P03", "the service is not available now")
}
