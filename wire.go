package starttls

import (
	"bytes"
	"context"
	"errors"
	"io"
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

// ReadLine reads up to and including LF and returns the line without its CRLF
// or LF. A line longer than the limit, one line too many, and a NUL are errors.
func (w *Wire) ReadLine() (string, error) {
	line, err := w.readTo('\n')
	if err != nil {
		return "", err
	}
	w.note(w.peer(), line)
	return string(bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))), nil
}

// ReadTo reads up to and including delim, within the limits of a line. The
// slice is the caller's. A NUL is an error.
func (w *Wire) ReadTo(delim byte) ([]byte, error) {
	b, err := w.readTo(delim)
	if err != nil {
		return nil, err
	}
	w.note(w.peer(), b)
	return bytes.Clone(b), nil
}

// readTo reads as ReadTo does. The slice is valid until the next read.
func (w *Wire) readTo(delim byte) ([]byte, error) {
	if err := w.count(); err != nil {
		return nil, err
	}
	var long []byte // what did not fit the buffer
	for {
		have := w.ahead()
		if i := bytes.IndexByte(have, delim); i >= 0 {
			line := have[: i+1 : i+1]
			if long != nil {
				line = append(long, line...)
			}
			w.r += i + 1
			if len(line) > w.limits.Line {
				return nil, &LimitError{"line length", w.limits.Line}
			}
			if bytes.IndexByte(line, 0) >= 0 {
				w.note(w.peer(), line)
				return nil, &ReplyError{Expected: "a line of text", Reply: bytes.Clone(line)}
			}
			return line, nil
		}
		long = append(long, have...)
		w.r = w.n
		if len(long) >= w.limits.Line {
			return nil, &LimitError{"line length", w.limits.Line}
		}
		if err := w.fill(); err != nil {
			return nil, unexpected(err, len(long))
		}
	}
}

// ReadN reads exactly n bytes, at most Limits.Packet. The slice is the caller's.
func (w *Wire) ReadN(n int) ([]byte, error) {
	if n < 0 || n > w.limits.Packet {
		return nil, &LimitError{"packet length", w.limits.Packet}
	}
	if err := w.count(); err != nil {
		return nil, err
	}
	out := make([]byte, 0, min(n, wireBuffer)) // grows with what came, not with what was promised
	for len(out) < n {
		if w.r == w.n {
			if err := w.fill(); err != nil {
				return nil, unexpected(err, len(out))
			}
		}
		k := min(n-len(out), w.n-w.r)
		out = append(out, w.buf[w.r:w.r+k]...)
		w.r += k
	}
	w.note(w.peer(), out)
	return out, nil
}

// Peek returns the next n bytes, at most 4096, without consuming them. The
// slice is valid until the next read.
func (w *Wire) Peek(n int) ([]byte, error) {
	if n < 0 || n > wireBuffer {
		return nil, &LimitError{"bytes to look ahead", wireBuffer}
	}
	for w.n-w.r < n {
		if w.r > 0 {
			copy(w.buf[:], w.buf[w.r:w.n])
			w.n -= w.r
			w.r = 0
		}
		if err := w.fill(); err != nil {
			return nil, unexpected(err, w.n-w.r)
		}
	}
	return w.ahead()[:n], nil
}

// PeekLine returns the next line as ReadLine would, without consuming it and
// without a place in the transcript. A server's half looks with it whether the
// next command is its own or the session's. The line, its end included, must
// fit in 4096 bytes and in Limits.Line.
func (w *Wire) PeekLine() (string, error) {
	most := min(w.limits.Line, wireBuffer)
	for {
		have := w.ahead()
		if i := bytes.IndexByte(have, '\n'); i >= 0 && i < most {
			return string(bytes.TrimSuffix(have[:i], []byte("\r"))), nil
		}
		if len(have) >= most {
			return "", &LimitError{"line length", most}
		}
		if _, err := w.Peek(len(have) + 1); err != nil {
			return "", err
		}
	}
}

// fill reads once from the connection behind what is buffered.
func (w *Wire) fill() error {
	if w.buf == nil {
		w.buf = wireBuffers.Get().(*[wireBuffer]byte)
	}
	if w.r == w.n {
		w.r, w.n = 0, 0
	}
	if w.bytes >= w.limits.Bytes {
		return &LimitError{"bytes", w.limits.Bytes}
	}
	k, err := w.conn.Read(w.buf[w.n:])
	w.n += k
	w.bytes += k
	if k > 0 {
		return nil
	}
	return w.cause(err)
}

func (w *Wire) count() error {
	if w.lines++; w.lines > w.limits.Lines {
		return &LimitError{"lines", w.limits.Lines}
	}
	return nil
}

// Write writes b as one segment.
func (w *Wire) Write(b []byte) (int, error) {
	w.note(w.cfg.Side, b)
	n, err := w.conn.Write(b)
	return n, w.cause(err)
}

// WriteLine writes s and CRLF as one segment.
func (w *Wire) WriteLine(s string) error {
	_, err := w.Write([]byte(s + "\r\n"))
	return err
}

// Ask writes the request for TLS. What the peer sent before it and was not
// read is no answer to it and makes Ask fail with an InjectedError: a server
// must not have answered before it was asked (CVE-2026-42246).
func (w *Wire) Ask(msg []byte) error {
	if w.cfg.BeforeAsk != nil {
		if err := w.cfg.BeforeAsk(w); err != nil {
			return err
		}
	}
	if ahead := w.Ahead(); len(ahead) > 0 {
		return &InjectedError{From: w.peer(), Bytes: ahead}
	}
	w.asked = true
	return w.segments(msg, w.cfg.OnAsk)
}

// GoAhead writes the server's consent to TLS.
func (w *Wire) GoAhead(msg []byte) error { return w.segments(msg, w.cfg.OnGoAhead) }

// Asked reports whether the request for TLS was written.
func (w *Wire) Asked() bool { return w.asked }

func (w *Wire) segments(msg []byte, hook func([]byte) []Segment) error {
	todo := []Segment{{Data: msg}}
	if hook != nil {
		todo = hook(msg)
	}
	for _, s := range todo {
		if s.Delay > 0 {
			t := time.NewTimer(s.Delay)
			select {
			case <-t.C:
			case <-w.ctx.Done():
				t.Stop()
				return context.Cause(w.ctx)
			}
		}
		if len(s.Data) == 0 {
			continue
		}
		if _, err := w.Write(s.Data); err != nil {
			return err
		}
	}
	return nil
}

// Refused counts a command that a server's half refused; past Limits.Errors it
// returns a LimitError, and the half should give up.
func (w *Wire) Refused() error {
	if w.refusals++; w.refusals > w.limits.Errors {
		return &LimitError{"refused commands", w.limits.Errors}
	}
	return nil
}

// Redact sets how messages of the peer are kept in the transcript from now on.
// By default a client's messages are kept as their length, and a server's
// verbatim. A server's half sets one that keeps what it knows to be no secret.
func (w *Wire) Redact(f func(msg []byte) []byte) { w.redact = f }

func (w *Wire) note(from Side, b []byte) {
	if w.cfg.NoTranscript || len(w.transcript) >= transcriptEntries {
		return
	}
	if from == ClientSide && w.cfg.Side == ServerSide {
		if w.redact != nil {
			b = w.redact(b)
		} else {
			b = lengthOnly(b)
		}
	}
	b = b[:min(len(b), transcriptData)]
	if w.transcript == nil {
		room := new(struct { // for a usual dialogue, in one piece
			entries [6]Entry
			data    [256]byte
		})
		w.transcript, w.kept = room.entries[:0], room.data[:0]
	}
	start := len(w.kept)
	w.kept = append(w.kept, b...)
	w.transcript = append(w.transcript, Entry{time.Now().UTC(), from, w.cfg.TLS, w.kept[start:len(w.kept):len(w.kept)]})
}

// Transcript returns what was said so far.
func (w *Wire) Transcript() Transcript { return w.transcript }

// Ahead returns a copy of what the peer sent past what was read.
func (w *Wire) Ahead() []byte {
	if w.r == w.n {
		return nil
	}
	return bytes.Clone(w.ahead())
}

func (w *Wire) ahead() []byte {
	if w.buf == nil {
		return nil
	}
	return w.buf[w.r:w.n]
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
	if w.buf != nil {
		clear(w.buf[:w.n])
		wireBuffers.Put(w.buf)
		w.buf, w.r, w.n = nil, 0, 0
	}
}

func (w *Wire) peer() Side { return ClientSide + ServerSide - w.cfg.Side }

// cause prefers the context's reason over the deadline by which it interrupts.
func (w *Wire) cause(err error) error {
	if err != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

// unexpected turns an end of file in the middle of a message into io.ErrUnexpectedEOF.
func unexpected(err error, have int) error {
	if have > 0 && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
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
