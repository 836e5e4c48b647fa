package tlswire

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
)

// What one connection may make us read. A handshake with a chain of twenty
// certificates is below 64 KiB.
const (
	maxMessage = 128 << 10 // bytes of a handshake message
	maxRecords = 4096
	maxBytes   = 1 << 20
	maxKept    = 16 << 10 // of what was sent, and of what was received, see Conn.Sent
)

// Conn reads and writes records over a connection and puts handshake messages
// together. It sets no deadlines: each read and write ends at the connection's
// own. It is for one goroutine.
type Conn struct {
	Version uint16     // what records that are written say
	In, Out Protection // nil: in clear

	// Sent and Received are the bytes on the wire so far, as evidence: the first
	// 16 KiB of either. Set them to nil to begin anew.
	Sent, Received []byte

	nc         net.Conn
	unread     []byte
	handshake  []byte // what came of a message that is not whole
	records, n int
}

// NewConn returns a Conn over nc. It does no I/O.
func NewConn(nc net.Conn) *Conn { return &Conn{nc: nc, Version: TLS10} }

// CleartextError is bytes that are no TLS where TLS was due.
type CleartextError struct{ Bytes []byte }

func (e *CleartextError) Error() string { return fmt.Sprintf("no TLS record: %q", e.Bytes) }

// UnexpectedError is a record that does not belong to the handshake protocol
// where such a one was due, and is no alert.
type UnexpectedError struct{ Record Record }

func (e *UnexpectedError) Error() string {
	return fmt.Sprintf("unexpected record of type %d", e.Record.Type)
}

// LimitError is a peer that says more than a handshake takes.
type LimitError struct{ What string }

func (e *LimitError) Error() string { return "too many " + e.What }

// ReadRecord reads one record. Bytes that can not begin one are a
// *CleartextError; an end inside one is io.ErrUnexpectedEOF.
func (c *Conn) ReadRecord() (Record, error) {
	if c.records++; c.records > maxRecords {
		return Record{}, &LimitError{"records"}
	}
	for {
		r, rest, ok, more := parseRecord(c.unread)
		if ok {
			r.Body = bytes.Clone(r.Body)
			c.unread = rest
			if c.In != nil {
				return c.In.Open(r)
			}
			return r, nil
		}
		if !more {
			return Record{}, &CleartextError{c.take()}
		}
		if err := c.fill(); err != nil {
			return Record{}, err
		}
	}
}

// Peek gives the next byte without using it.
func (c *Conn) Peek() (byte, error) {
	for len(c.unread) == 0 {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	return c.unread[0], nil
}

// take gives all that was read and not used.
func (c *Conn) take() []byte {
	b := bytes.Clone(c.unread)
	c.unread = nil
	return b
}

// fill reads once.
func (c *Conn) fill() error {
	c.unread = slices.Grow(c.unread, 4096)
	n, err := c.nc.Read(c.unread[len(c.unread):cap(c.unread)])
	c.Received = keep(c.Received, c.unread[len(c.unread):len(c.unread)+n])
	c.unread = c.unread[:len(c.unread)+n]
	if c.n += n; c.n > maxBytes {
		return &LimitError{"bytes"}
	}
	if n > 0 {
		return nil // an error comes again
	}
	if err == io.EOF && len(c.unread) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

func keep(kept, b []byte) []byte { return append(kept, b[:min(len(b), maxKept-len(kept))]...) }

// ReadMessage reads one handshake message. An alert is an error of type Alert,
// a warning too: after that, reading can go on. Other records are an
// *UnexpectedError, but for the ChangeCipherSpec that TLS 1.3 sends for show
// (RFC 8446, appendix D.4), which is passed over.
func (c *Conn) ReadMessage() (Message, error) {
	for {
		m, rest, err := parseMessage(c.handshake)
		if err != nil {
			return Message{}, err
		}
		if m.Raw != nil {
			c.handshake = rest
			return m, nil
		}
		r, err := c.ReadRecord()
		if err != nil {
			return Message{}, err
		}
		switch {
		case r.Type == HandshakeRecord:
			c.handshake = append(c.handshake, r.Body...)
		case r.Type == AlertRecord:
			a, err := ParseAlert(r.Body)
			if err != nil {
				return Message{}, err
			}
			return Message{}, a
		case r.Type == ChangeCipherSpecRecord && c.show():
		default:
			return Message{}, &UnexpectedError{r}
		}
	}
}

// show reports whether a ChangeCipherSpec means nothing: TLS 1.3 is on, or a
// HelloRetryRequest went by.
func (c *Conn) show() bool { return c.Version >= TLS13 }

// parseMessage takes one handshake message from the front of b. Message.Raw is
// nil while it is not whole.
func parseMessage(b []byte) (m Message, rest []byte, err error) {
	if len(b) < 4 {
		return m, b, nil
	}
	n := 4 + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
	if n > maxMessage {
		return m, b, &LimitError{"bytes in a message"}
	}
	if len(b) < n {
		return m, b, nil
	}
	return Message{Type: MessageType(b[0]), Body: b[4:n:n], Raw: b[:n:n]}, b[n:], nil
}

// WriteRecords protects the records and writes them at once.
func (c *Conn) WriteRecords(records ...Record) error {
	var out []byte
	for _, r := range records {
		if c.Out != nil {
			r = c.Out.Seal(r)
		}
		out = r.Append(out)
	}
	return c.Write(out)
}

// WriteMessages writes handshake messages at once, all in one record if they
// fit.
func (c *Conn) WriteMessages(messages ...[]byte) error {
	return c.WriteRecords(Cut(HandshakeRecord, c.recordVersion(), bytes.Join(messages, nil), 0)...)
}

// WriteAlert writes an alert.
func (c *Conn) WriteAlert(a Alert) error {
	return c.WriteRecords(Record{AlertRecord, c.recordVersion(), []byte{a.Level, a.Code}})
}

// WriteCCS writes a ChangeCipherSpec; the protection of what follows is the
// caller's to set.
func (c *Conn) WriteCCS() error {
	return c.WriteRecords(Record{ChangeCipherSpecRecord, c.recordVersion(), []byte{1}})
}

// recordVersion is what records say: never more than TLS 1.2 (RFC 8446, section
// 5.1).
func (c *Conn) recordVersion() uint16 { return min(c.Version, TLS12) }

// Write writes b as it is.
func (c *Conn) Write(b []byte) error {
	c.Sent = keep(c.Sent, b)
	_, err := c.nc.Write(b)
	return err
}
