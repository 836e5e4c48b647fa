package gateway

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"golang.org/x/crypto/cryptobyte"

	"example.org/starttls"
	"example.org/starttls/internal/tlsprobe/tlswire"
)

// hello is what a client tells of itself by its ClientHello, which everybody on
// the path can read.
type hello struct {
	name    string // server name (SNI); "": none
	version uint16 // the highest that it offers
}

const (
	recordHandshake = 0x16
	recordAlert     = 0x15
	mostHello       = 32 << 10 // bytes of a ClientHello, with its records
)

var errNoHello = errors.New("the client's first TLS message is no ClientHello")

// readHello reads a ClientHello, which may stand in several records (RFC 8446,
// section 5.1), and not a byte beyond it. What is no TLS record is a
// CleartextError with its first bytes.
func readHello(r io.Reader) (hello, error) {
	var message []byte
	for {
		record, err := readRecord(r, starttls.ClientSide, recordHandshake)
		if err != nil {
			return hello{}, err
		}
		message = append(message, record...)
		if len(message) >= 4 {
			if message[0] != byte(tlswire.ClientHelloMessage) {
				return hello{}, errNoHello
			}
			size := 4 + int(binary.BigEndian.Uint32(message)&0xffffff)
			switch {
			case size > mostHello || len(message) > size:
				return hello{}, errNoHello
			case len(message) == size:
				return parseHello(message[4:])
			}
		}
		if len(record) == 0 { // which would go on without end
			return hello{}, errNoHello
		}
	}
}

// readRecord reads a record of one of the types, without its header.
func readRecord(r io.Reader, from starttls.Side, types ...byte) ([]byte, error) {
	head, err := recordHead(r, from, types...)
	if err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	_, err = io.ReadFull(r, body)
	return body, err
}

// recordHead reads the header of a record of one of the types. As soon as a byte
// can not be one's, what came so far is a CleartextError.
func recordHead(r io.Reader, from starttls.Side, types ...byte) ([]byte, error) {
	head := make([]byte, 5)
	n, err := io.ReadAtLeast(r, head, 1)
	if bad := new(tls.RecordHeaderError); errors.As(err, bad) { // of a wrapped handshake
		return nil, &starttls.CleartextError{From: from, Bytes: bad.RecordHeader[:]}
	}
	isTLS := false
	for _, t := range types {
		isTLS = isTLS || n > 0 && head[0] == t
	}
	if isTLS && err == nil {
		var more int
		more, err = io.ReadFull(r, head[n:])
		n += more
		isTLS = n < 2 || head[1] == 3
	}
	switch {
	case n > 0 && !isTLS:
		return nil, &starttls.CleartextError{From: from, Bytes: head[:n]}
	case err != nil:
		return nil, err
	case binary.BigEndian.Uint16(head[3:]) > 1<<14:
		return nil, errNoHello
	}
	return head, nil
}

// parseHello picks out of a ClientHello what is reported of it.
func parseHello(body []byte) (h hello, err error) {
	m, err := tlswire.ParseClientHello(body)
	if err != nil {
		return h, err
	}
	h.version = m.Version
	if data, ok := m.Extensions.Get(tlswire.ExtServerName); ok {
		if h.name, err = tlswire.ParseServerName(data); err != nil {
			return h, err
		}
	}
	if data, ok := m.Extensions.Get(tlswire.ExtVersions); ok {
		h.version, err = highestVersion(data)
	}
	return h, err
}

// highestVersion reads supported_versions (RFC 8446, section 4.2.1), without the
// values that stand for nothing (RFC 8701).
func highestVersion(data []byte) (highest uint16, err error) {
	s := cryptobyte.String(data)
	var list cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&list) || !s.Empty() || list.Empty() {
		return 0, errNoHello
	}
	for !list.Empty() {
		var v uint16
		if !list.ReadUint16(&v) {
			return 0, errNoHello
		}
		if v&0x0f0f != 0x0a0a {
			highest = max(highest, v)
		}
	}
	return highest, nil
}

// versionName is for logs and metrics. What nobody knows has one name, so that
// clients can not make many.
func (h hello) versionName() string {
	if h.version < tlswire.SSL3 || h.version > tls.VersionTLS13 {
		return "unknown"
	}
	return tls.VersionName(h.version)
}

// kept is a connection of which all that is read is kept, to be passed on as it
// came.
type kept struct {
	net.Conn
	from io.Reader
	read []byte
}

func (k *kept) Read(b []byte) (int, error) {
	n, err := k.from.Read(b)
	k.read = append(k.read, b[:n]...)
	return n, err
}

// records gives what p carries TLS records in.
func records(p starttls.Protocol, k *kept) io.Reader {
	if w, ok := p.(starttls.HandshakeWrapper); ok {
		wrapped, _ := w.WrapHandshake(k)
		return wrapped
	}
	return k
}
