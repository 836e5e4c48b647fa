package starttls

import (
	"context"
	"net"
	"sync"
	"time"
)

// Limits bounds what a peer can make us read before TLS. A zero field means the
// default in brackets.
type Limits struct {
	Line   int // bytes in one line, its end included (8192)
	Packet int // bytes asked for by one ReadN (65536)
	Lines  int // lines and packets in all (1000)
	Bytes  int // bytes in all (1 MiB)
	Errors int // commands a server's half refuses before it closes (20)
}

func (l Limits) withDefaults() Limits {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&l.Line, 8192)
	def(&l.Packet, 64<<10)
	def(&l.Lines, 1000)
	def(&l.Bytes, 1<<20)
	def(&l.Errors, 20)
	return l
}

// WireConfig is what a Wire needs to know. The zero value is the client's side
// with default limits.
type WireConfig struct {
	Side       Side   // whose half is spoken over it
	ServerName string // see Wire.ServerName
	LocalName  string // see Wire.LocalName
	Limits     Limits
	TLS        bool   // the connection is inside TLS already: marks the transcript
	Upgraded   bool   // and came there by a request on this connection; see Wire.Upgraded
	Before     *Hello // what was learned on the way to TLS; see Wire.Before

	// NoTranscript keeps none: for sessions, where secrets are said.
	NoTranscript bool

	// OnAsk and OnGoAhead, when not nil, turn the one write that requests TLS,
	// or grants it, into segments. With them a test injects bytes or delays
	// them in any protocol. No segments means that nothing is written.
	OnAsk, OnGoAhead func(msg []byte) []Segment

	// BeforeAsk, when not nil, speaks on the wire right before the request for
	// TLS is written: for tests of what a server keeps across the upgrade.
	BeforeAsk func(w *Wire) error
}

// Segment is one write, made after a delay.
type Segment struct {
	Data  []byte
	Delay time.Duration
}

// Wire is the cleartext side of a connection, as a protocol's two halves see
// it. It bounds what a peer can make us read, keeps a transcript and obeys its
// context: when that ends, reads and writes return its cause. It is for one
// goroutine.
type Wire struct {
	conn   net.Conn
	ctx    context.Context
	stop   func() bool
	cfg    WireConfig
	limits Limits

	buf        *[wireBuffer]byte // from wireBuffers, while the cleartext phase lasts
	r, n       int               // unread: buf[r:n]
	lines      int
	bytes      int
	refusals   int
	asked      bool
	transcript Transcript
	kept       []byte // what the transcript's entries hold, end to end
	redact     func([]byte) []byte
}

const wireBuffer = 4096

var wireBuffers = sync.Pool{New: func() any { return new([wireBuffer]byte) }}

// NewWire returns a Wire over conn; it does no I/O. Call Release when done
// with it. Deadlines are the caller's: NewWire sets none, but the end of ctx
// interrupts all I/O.
func NewWire(ctx context.Context, conn net.Conn, cfg WireConfig) *Wire {
	w := &Wire{conn: conn, ctx: ctx, cfg: cfg, limits: cfg.Limits.withDefaults()}
	if ctx.Done() != nil {
		w.stop = context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	}
	return w
}

// ServerName is the name of the server or domain the connection is for: XMPP's
// "to", HTTP's Host. On the server's side it is the server's own name.
func (w *Wire) ServerName() string {
	if w.cfg.ServerName == "" {
		return "localhost"
	}
	return w.cfg.ServerName
}

// LocalName is what a client calls itself: SMTP's EHLO argument, XMPP's "from"
// between servers.
func (w *Wire) LocalName() string {
	if w.cfg.LocalName == "" {
		return "localhost"
	}
	return w.cfg.LocalName
}

// Side tells whose half this is.
func (w *Wire) Side() Side { return w.cfg.Side }

// LocalAddr and RemoteAddr are the connection's.
func (w *Wire) LocalAddr() net.Addr  { return w.conn.LocalAddr() }
func (w *Wire) RemoteAddr() net.Addr { return w.conn.RemoteAddr() }

// TLS reports whether the wire runs inside TLS.
func (w *Wire) TLS() bool { return w.cfg.TLS }

// Upgraded reports whether the wire runs inside TLS that was asked for on this
// connection, so that whatever was said in clear on the way is not said again.
func (w *Wire) Upgraded() bool { return w.cfg.Upgraded }

// Before is what the server said for itself in clear before the upgrade, on the
// client's side. An attacker can have written it: nothing may hang on it but the
// choice of what to try next.
func (w *Wire) Before() Hello {
	if w.cfg.Before == nil {
		return Hello{}
	}
	return *w.cfg.Before
}

// Conn returns the connection with what was read ahead put back, and ends the
// Wire's life: do not read from it after that.
func (w *Wire) Conn() net.Conn {
	ahead := w.Ahead()
	w.Release()
	if len(ahead) == 0 {
		return w.conn
	}
	return &aheadConn{Conn: w.conn, ahead: ahead}
}

// Release gives the buffer back and detaches the Wire from its context. It may
// be called more than once.
func (w *Wire) Release() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
	if w.r == w.n && w.buf != nil { // else an error may have what was looked at and not read
		clear(w.buf[:w.n])
		wireBuffers.Put(w.buf)
	}
	w.buf, w.r, w.n = nil, 0, 0
}

func (w *Wire) peer() Side { return ClientSide + ServerSide - w.cfg.Side }

// cause prefers the context's reason over the deadline by which it interrupts.
func (w *Wire) cause(err error) error {
	if err != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

// aheadConn serves bytes that were read before first.
type aheadConn struct {
	net.Conn
	ahead []byte
}

func (c *aheadConn) Read(b []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.ahead)
	c.ahead = c.ahead[n:]
	if len(c.ahead) == 0 {
		c.ahead = nil
	}
	return n, nil
}
