package protocol

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
)

// WrapHandshake carries TLS records in PRELOGIN packets (MS-TDS, sections
// 2.2.6.5 and 3.3.5.2). Old servers answer in packets of type 4.
func (tds) WrapHandshake(nc net.Conn) (wrapped net.Conn, unwrap func()) {
	c := &tdsConn{Conn: nc}
	return c, func() { c.raw = true }
}

type tdsConn struct {
	net.Conn
	left int  // bytes of the current packet that are still to be read
	raw  bool // the handshake is over
}

func (c *tdsConn) Read(b []byte) (int, error) {
	if c.left == 0 && c.raw {
		return c.Conn.Read(b)
	}
	if c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// next reads the head of a packet. What does not look like one is shown as it
// came, in the form that crypto/tls has for it.
func (c *tdsConn) next() error {
	var head [tdsHead]byte
	const start = len(tls.RecordHeaderError{}.RecordHeader)
	if _, err := io.ReadFull(c.Conn, head[:start]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if head[0] != tdsPrelogin && head[0] != tdsReply || n <= tdsHead {
		return tls.RecordHeaderError{Msg: "TLS is due in TDS packets", RecordHeader: [start]byte(head[:])}
	}
	if _, err := io.ReadFull(c.Conn, head[start:]); err != nil {
		return err
	}
	c.left = n - tdsHead
	return nil
}

// Write makes one message of b: some clients take the end of a message for the
// end of a flight.
func (c *tdsConn) Write(b []byte) (int, error) {
	if c.raw {
		return c.Conn.Write(b)
	}
	var out []byte
	for rest := b; len(rest) > 0; {
		n := min(len(rest), tdsPacket-tdsHead)
		packet := tdsMessage(tdsPrelogin, rest[:n])
		if rest = rest[n:]; len(rest) > 0 {
			packet[1] &^= tdsLastMark
		}
		out = append(out, packet...)
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
