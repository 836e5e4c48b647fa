package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.org/starttls"
	"example.org/starttls/check"
)

// plainTarget reads HOST:PORT in a protocol that we do not know.
func plainTarget(s string) (check.Target, error) {
	if _, rest, ok := bytes.Cut([]byte(s), []byte("://")); ok {
		s = string(rest)
	}
	host, digits, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return check.Target{}, usagef("as in 192.0.2.1:3493", "%q is not HOST:PORT", s)
	}
	n, err := port(digits)
	return check.Target{Host: host, Port: n}, err
}

// byHand is a session in a protocol that we do not know, whose TLS begins by hand.
type byHand struct {
	nc       net.Conn
	crlf     bool
	limit    time.Duration  // how long an answer is waited for
	news     chan struct{}  // the server has said another line
	turn     sync.Mutex     // held while a line is written in clear, and when TLS becomes due
	due      chan struct{}  // closed when the line has come behind which TLS begins
	upgraded chan *tls.Conn // closed without one where the upgrade failed
	said     *heard         // inside TLS; set before upgraded tells
}

// connectByHand talks in clear until a line from the server matches, and then
// starts TLS. What the server sent behind that line crosses into nothing: it ends
// the connection.
func (a *app) connectByHand(ctx context.Context, s *sessionFlags, o connectFlags, t check.Target, by *regexp.Regexp) error {
	dctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	nc, err := s.dial(dctx, "tcp", net.JoinHostPort(t.Host, strconv.Itoa(t.Port)))
	if err != nil {
		return &exit{exitUnknown, err.Error(), "check the name and the port"}
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	h := &byHand{nc: nc, crlf: o.crlf(t), limit: s.timeout,
		news: make(chan struct{}, 1), due: make(chan struct{}), upgraded: make(chan *tls.Conn, 1)}
	defer close(h.upgraded)
	go h.typed(a.in, !isTerminal(a.in))
	if err := h.listen(a.out, by); err != nil {
		return err
	}
	name := s.name
	if name == "" {
		name = t.Host
	}
	tc := tls.Client(nc, &tls.Config{ServerName: name, RootCAs: s.roots, InsecureSkipVerify: s.insecure})
	hctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := tc.HandshakeContext(hctx); err != nil {
		return &exit{exitFindings, "handshake: " + err.Error(), "trust the server's authority with --ca FILE, or name the server with --name HOST"}
	}
	state := tc.ConnectionState()
	fmt.Fprintf(a.err, "upgraded: %s, %s\n", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	if err := a.certificates(o, tc); err != nil {
		return err
	}
	h.said = &heard{Reader: tc}
	h.upgraded <- tc
	if _, err := io.Copy(a.out, h.said); err != nil && ctx.Err() == nil {
		return &exit{exitUnknown, "the session broke off: " + err.Error(), ""}
	}
	return nil
}

// listen shows what the server says in clear, up to the line that matches.
func (h *byHand) listen(out io.Writer, by *regexp.Regexp) error {
	r := bufio.NewReaderSize(h.nc, 8192)
	for {
		line, err := r.ReadSlice('\n')
		out.Write(line)
		if err != nil {
			return &exit{exitUnknown, "no line matched: " + ending(err), "--clear, without --upgrade-after, shows what the server says"}
		}
		if by.Match(bytes.TrimRight(line, "\r\n")) {
			break
		}
		select {
		case h.news <- struct{}{}:
		default:
		}
	}
	h.turn.Lock()
	close(h.due)
	h.turn.Unlock()
	if n := r.Buffered(); n > 0 {
		ahead, _ := r.Peek(n)
		return &exit{exitFindings, (&starttls.InjectedError{From: starttls.ServerSide, Bytes: ahead}).Error(), "starttls check tells more, of protocols that it knows"}
	}
	return nil
}

// ending says why the server was not heard any longer.
func ending(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "the server closed the connection"
	case errors.Is(err, net.ErrClosed): // by us: the input's end, or an interrupt
		return "we closed the connection"
	}
	return err.Error()
}

// typed passes our input on: in clear until TLS is due, and inside it from then
// on. A script's lines wait, each for the answer to the one before, lest what is
// meant for TLS goes in clear.
func (h *byHand) typed(in io.Reader, script bool) {
	r := bufio.NewReader(in)
	if script {
		h.answered(2 * quiet) // the greeting, if there is one
	}
	for {
		line, err := r.ReadBytes('\n')
		if !h.inClear(line) {
			h.inside(io.MultiReader(bytes.NewReader(line), r))
			return
		}
		if err != nil {
			break
		}
		if script {
			h.answered(h.limit)
		}
	}
	select {
	case <-h.due:
		h.inside(strings.NewReader(""))
	case <-time.After(h.limit):
		h.nc.Close()
	}
}

// inClear writes a line, unless TLS is due.
func (h *byHand) inClear(line []byte) bool {
	h.turn.Lock()
	defer h.turn.Unlock()
	select {
	case <-h.due:
		return false
	default:
	}
	select {
	case <-h.news: // what was said before is no answer to this
	default:
	}
	h.lines(h.nc).Write(line)
	return true
}

// answered returns when the server has spoken and fallen silent, when TLS is due,
// and after the limit.
func (h *byHand) answered(limit time.Duration) {
	over := time.After(limit)
	var silence <-chan time.Time
	for {
		select {
		case <-h.news:
			silence = time.After(quiet)
		case <-silence:
			return
		case <-h.due:
			return
		case <-over:
			return
		}
	}
}

// inside passes the rest of the input on inside TLS.
func (h *byHand) inside(in io.Reader) {
	tc, ok := <-h.upgraded
	if !ok {
		return // no TLS came of it
	}
	io.Copy(h.lines(tc), in)
	h.said.untilQuiet()
	tc.CloseWrite()
}

// lines is w, with lines that end as they should.
func (h *byHand) lines(w io.Writer) io.Writer {
	if h.crlf {
		return &crlfWriter{w: w}
	}
	return w
}
