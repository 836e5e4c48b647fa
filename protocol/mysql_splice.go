package protocol

import (
	"bytes"
	"encoding/binary"

	"example.org/starttls"
)

// mySplice is one direction of the sign-in, whose packets are numbered from the
// greeting on: an SSLRequest that only one side has seen sets them one apart.
type mySplice struct {
	shift  byte                                 // to be added to the numbers
	packet func(head [4]byte, body []byte) bool // reports whether the sign-in is over with it
	raw    bool
	held   []byte
	out    []byte
}

const myMostSignIn = 1 << 20 // bytes of a packet of a sign-in

// Splice keeps the numbers of the packets true until the sign-in is over, and
// the flag for TLS in the client's answer: a backend in clear would wait for a
// handshake. Behind TLS that it does not see, a backend asks for a password by
// RSA where the plugin has that (caching_sha2_password); a client in clear asks
// for that, and a backend with TLS does not understand it.
func (p mysql) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	tls := s.Backend.Upgraded()
	if s.Client.Upgraded() == tls {
		return nil, nil, nil
	}
	ahead := byte(1) // the client is, by its SSLRequest
	if tls {
		ahead = 256 - 1 // the backend is, by the gateway's
	}
	first := true
	up := &mySplice{shift: -ahead}
	up.packet = func(head [4]byte, body []byte) bool {
		if first = first && len(body) >= 4; first {
			flags := binary.LittleEndian.Uint32(body) &^ mySSL
			if tls {
				flags |= mySSL
			}
			binary.LittleEndian.PutUint32(body, flags)
		}
		first = false
		return false
	}
	down := &mySplice{shift: ahead, packet: func(_ [4]byte, body []byte) bool {
		return len(body) > 0 && (body[0] == 0 || body[0] == 0xff) // OK or ERR
	}}
	return up.filter, down.filter, nil
}

func (f *mySplice) filter(b []byte) ([]byte, error) {
	if f.raw {
		return b, nil
	}
	f.held = append(f.held, b...)
	f.out = nil
	for len(f.held) >= 4 {
		head := [4]byte(f.held)
		n := 4 + (int(head[0]) | int(head[1])<<8 | int(head[2])<<16)
		// A command of the session is number 0 again: the sign-in is over.
		if f.raw = head[3] == 0; f.raw {
			break
		}
		if n > myMostSignIn {
			return nil, &starttls.LimitError{What: "bytes of a packet of the sign-in", Limit: myMostSignIn}
		}
		if len(f.held) < n {
			break
		}
		f.held[3] += f.shift
		f.raw = f.packet(head, f.held[4:n])
		f.out = append(f.out, f.held[:n]...)
		f.held = f.held[n:]
		if f.raw {
			break
		}
	}
	if f.raw {
		f.out = append(f.out, f.held...)
		f.held = nil
	}
	return f.out, nil
}

// Request is the head of the client's own answer to the greeting: MariaDB reads
// the session's capabilities off the SSLRequest and not off the answer that
// follows it inside TLS.
func (mysql) Request(client *starttls.Wire) (request, apology []byte, err error) {
	const head, common = 4, 32 // of a packet; of the SSLRequest and the answer
	b, err := client.Peek(head)
	if err != nil {
		return nil, nil, err
	}
	seq := b[3] + 1
	if b[0] <= common && b[1] == 0 && b[2] == 0 {
		return nil, myError(seq, myErrBadHello, "#08S01Malformed handshake response"), &starttls.ReplyError{Expected: "a handshake response", Reply: bytes.Clone(b), FromClient: true}
	}
	if b, err = client.Peek(head + common); err != nil {
		return nil, nil, err
	}
	body := bytes.Clone(b[head:])
	flags := binary.LittleEndian.Uint32(body)
	if flags&myProtocol41 == 0 { // the packet of before has other fields, and no TLS
		return nil, myError(seq, myErrOldHello, "#08004Only clients of protocol 4.1 are known"), &starttls.ReplyError{Expected: "a handshake response", Reply: bytes.Clone(b), FromClient: true}
	}
	binary.LittleEndian.PutUint32(body, flags|mySSL)
	return myPacket(1, body), myUnavailable(seq), nil
}

// Unavailable stands in the place of a greeting.
func (mysql) Unavailable() []byte { return myUnavailable(0) }

func myUnavailable(seq byte) []byte {
	return myError(seq, 1040, "#08004The service is not available now")
}
