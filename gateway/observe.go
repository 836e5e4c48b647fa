package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"example.org/starttls"
)

// A guard takes no part in what it watches. What it knows of a protocol it knows
// from the protocol's own two halves: the server's half is shown what the client
// says, and the client's half what the server says. What they would say
// themselves is heard by nobody.

// watched is a client's connection as the server's half sees it. What the half
// has read and answered may pass; what it still looks at, or has refused, is
// held back.
type watched struct {
	net.Conn
	wire     *starttls.Wire
	pass     func([]byte) error
	said     []byte // all that the client has said
	answered int    // bytes of it that the half has dealt with
	passed   int    // bytes of it that the server has got
	goAhead  []byte // what the half would consent with
}

// watch shows the client of s to the server's half. In a protocol of text a
// command that the half does not know ends its part, since it may be a secret on
// a line of its own; in one of binary messages a refusal is part of the way
// (PostgreSQL's GSSENCRequest, Telnet's options).
func (s *session) watch(pass func([]byte) error) *watched {
	c := &watched{Conn: s.client, pass: pass}
	limits := s.service.front.Limits
	if !s.info.Binary {
		limits.Errors = 1
	}
	c.wire = starttls.NewWire(s.ctx, c, starttls.WireConfig{Side: starttls.ServerSide, ServerName: s.service.front.ServerName,
		Limits: limits, NoTranscript: true, OnGoAhead: func(msg []byte) []starttls.Segment {
			c.goAhead = bytes.Clone(msg)
			return nil
		}})
	if !s.info.Binary {
		c.wire.Refused() // the one that is allowed
	}
	return c
}

func (c *watched) Read(b []byte) (int, error) {
	if err := c.release(c.answered); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	c.said = append(c.said, b[:n]...)
	return n, err
}

func (c *watched) Write(b []byte) (int, error) {
	c.answered = c.taken()
	return len(b), nil
}

// taken is how much of what the client said the half has read.
func (c *watched) taken() int { return len(c.said) - len(c.wire.Ahead()) }

// release lets pass what the client said up to a place in it.
func (c *watched) release(to int) error {
	b := c.said[c.passed:to]
	if c.passed = to; len(b) == 0 {
		return nil
	}
	return c.pass(b)
}

// refusal is what the protocol says to one that goes on in clear: the words of
// its server's half, which has heard all that before and requires TLS. It hears
// the client out.
func (s *session) refusal(c *watched) []byte {
	nc := &script{Reader: bytes.NewReader(c.said[:c.passed]), then: io.MultiReader(bytes.NewReader(c.said[c.passed:]), s.client)}
	w := starttls.NewWire(s.ctx, nc, starttls.WireConfig{Side: starttls.ServerSide, ServerName: s.service.front.ServerName, Limits: s.service.front.Limits, NoTranscript: true})
	defer w.Release()
	s.p.Server(w, starttls.Hello{}, starttls.Offer{})
	return nc.last
}

// offered reports whether the server has offered TLS in what it said so far, and
// whether that can be told.
func (s *session) offered(heard []byte) (offered, known bool) {
	if s.info.Unadvertised {
		return false, false
	}
	errOffered := errors.New("it is offered")
	w := starttls.NewWire(s.ctx, &script{Reader: bytes.NewReader(heard)}, starttls.WireConfig{ServerName: s.service.front.ServerName, Limits: s.service.front.Limits,
		NoTranscript: true, BeforeAsk: func(*starttls.Wire) error { return errOffered }})
	defer w.Release()
	switch _, err := s.p.Client(w, starttls.IfOffered); {
	case errors.Is(err, errOffered):
		return true, true
	case errors.Is(err, starttls.ErrNotOffered), errors.Is(err, starttls.ErrAlreadyAuthenticated):
		return false, true
	}
	return false, false
}

// script is a peer that says what is written down, and then, if there is
// anything, what it says until it is answered. It keeps the last answer.
type script struct {
	io.Reader
	then io.Reader
	last []byte
}

func (s *script) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if n > 0 || s.then == nil {
		return n, err
	}
	s.Reader, s.then, s.last = untilAnswered{s, s.then}, nil, nil
	return s.Reader.Read(b)
}

type untilAnswered struct {
	*script
	from io.Reader
}

func (u untilAnswered) Read(b []byte) (int, error) {
	if u.last != nil {
		return 0, io.EOF
	}
	return u.from.Read(b)
}

func (s *script) Write(b []byte) (int, error) {
	if len(b) > 0 {
		s.last = bytes.Clone(b)
	}
	return len(b), nil
}

func (*script) Close() error                     { return nil }
func (*script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// consent has the client's half read the server's answer to a request for TLS,
// and returns it as it came. Both halves meet in memory up to that point, where
// the server takes the place of its half. goAhead is what the server's half would
// have said to this very request.
func (s *session) consent(goAhead []byte, server io.Reader) (answer []byte, err error) {
	ctx, cancel := context.WithCancel(s.ctx)
	near, far := net.Pipe()
	ours := make(chan []byte, 1)
	go func() {
		defer far.Close()
		var said []byte
		w := starttls.NewWire(ctx, far, starttls.WireConfig{Side: starttls.ServerSide, ServerName: s.service.front.ServerName, NoTranscript: true,
			OnGoAhead: func(msg []byte) []starttls.Segment { said = bytes.Clone(msg); return nil }})
		defer w.Release()
		s.p.Server(w, starttls.Hello{}, starttls.Offer{})
		ours <- said
	}()
	c := &answered{Conn: near, ours: ours, goAhead: goAhead, server: server, lines: !s.info.Binary}
	defer cancel()
	defer near.Close()
	w := starttls.NewWire(s.ctx, c, starttls.WireConfig{ServerName: s.service.front.ServerName, Limits: s.service.front.Limits, NoTranscript: true})
	defer w.Release()
	_, err = s.p.Client(w, starttls.Always)
	if ahead := append(w.Ahead(), c.ready...); err == nil && len(ahead) > 0 {
		err = &starttls.InjectedError{From: starttls.ServerSide, Bytes: ahead}
	}
	return c.answer, err
}

// answered is the connection of the client's half in that meeting.
type answered struct {
	net.Conn               // to the other half
	ours     <-chan []byte // what that half consents with, when it is done
	goAhead  []byte
	server   io.Reader
	lines    bool
	retag    func([]byte) []byte // nil: the other half is not done
	answer   []byte              // what the server has said
	ready    []byte              // of it, as the half is to read it
}

func (c *answered) Read(b []byte) (int, error) {
	if c.retag == nil {
		n, err := c.Conn.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		c.retag = retag(c.goAhead, <-c.ours, c.lines)
	}
	if len(c.ready) == 0 {
		n, err := c.server.Read(b)
		if n == 0 {
			return 0, err
		}
		c.answer = append(c.answer, b[:n]...)
		c.ready = c.retag(bytes.Clone(b[:n]))
	}
	n := copy(b, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// Write drops what the half says once the other has ended.
func (c *answered) Write(b []byte) (int, error) {
	if n, err := c.Conn.Write(b); !errors.Is(err, io.ErrClosedPipe) {
		return n, err
	}
	return len(b), nil
}

// retag returns what puts our half's tag, IMAP's or the number of an LDAP
// message, in the place of the client's own: theirs and ours are the answers to
// the two requests, and differ in nothing else. In a protocol of lines the tag
// stands at the start of one, elsewhere in the head of the message; the lengths
// before it may be written otherwise than by our half.
func retag(theirs, ours []byte, lines bool) func([]byte) []byte {
	least := min(len(theirs), len(ours))
	if least == 0 || bytes.Equal(theirs, ours) {
		return func(b []byte) []byte { return b }
	}
	start, end := 0, 0
	for start < least-1 && theirs[start] == ours[start] {
		start++
	}
	for end < least-start-1 && theirs[len(theirs)-1-end] == ours[len(ours)-1-end] {
		end++
	}
	theirs, ours = theirs[:len(theirs)-end], ours[:len(ours)-end]
	if lines {
		return func(b []byte) []byte { return retagLines(theirs, ours, b) }
	}
	if len(theirs) == len(ours) { // what is before the tag says how long it is
		start = max(0, start-2)
		theirs, ours = theirs[start:], ours[start:]
	}
	return func(b []byte) []byte {
		const head = 16
		at := bytes.Index(b[:min(len(b), head)], theirs)
		if at < 0 {
			return b
		}
		return slices.Concat(b[:at], ours, b[at+len(theirs):])
	}
}

func retagLines(theirs, ours, b []byte) (out []byte) {
	for line := range bytes.SplitAfterSeq(b, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, theirs); ok {
			out = append(out, ours...)
			line = rest
		}
		out = append(out, line...)
	}
	return out
}
