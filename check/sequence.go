package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"time"

	"example.org/starttls"
)

// Tests of the sequence of what is said, which any protocol can be put to.

func (r *run) sequenceTests() []test {
	if r.target.Implicit {
		return nil
	}
	info := r.target.Protocol.Info()
	var out []test
	if injector, ok := r.target.Protocol.(starttls.Injector); ok && !info.Binary {
		out = append(out,
			test{id: "cross-protocol", level: ActiveProbes, full: true, try: func(ctx context.Context, r *run) trial { return r.crossProtocol(ctx, injector) }},
			test{id: "pipelining-lost", level: ActiveProbes, full: true, try: func(ctx context.Context, r *run) trial { return r.pipelining(ctx, injector) }})
	}
	if _, wraps := r.target.Protocol.(starttls.HandshakeWrapper); !wraps && !info.EagerClient {
		out = append(out, test{id: "early-hello", level: ActiveProbes, full: true, try: func(ctx context.Context, r *run) trial { return r.earlyHello(ctx) }})
	}
	return out
}

// crossProtocol sends an HTTP request in clear, with the control command as its
// body, as somebody's browser can be made to (ALPACA).
func (r *run) crossProtocol(ctx context.Context, injector starttls.Injector) trial {
	v := r.visit(ctx, func(c *starttls.Config) { c.Mode = starttls.None })
	if v.err != nil {
		return r.notMade(ctx, v.err)
	}
	defer v.conn.Close()
	defer context.AfterFunc(ctx, func() { v.conn.Close() })()
	in := injector.Injection(r.options.Name, marker())
	request := fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", r.options.Name, len(in.Control), in.Control)
	v.conn.SetDeadline(time.Now().Add(r.patience(2 * time.Second)))
	if _, err := v.conn.Write(request); err != nil {
		return r.notMade(ctx, err)
	}
	// A line of HTTP is mostly refused in the very words that the control command
	// is: only a second answer tells that the server goes on.
	said, reply, err := readUntil(v.conn, func(said []byte) starttls.Reply {
		return starttls.Reply{Control: in.Classify(said).Control && bytes.Count(said, []byte("\n")) > 1}
	})
	t := trial{verdict: Passed, evidence: slices.Concat(lines(v.conn.Transcript()), clearEntry(starttls.ClientSide, request), clearEntry(starttls.ServerSide, said))}
	switch {
	case bytes.HasPrefix(said, []byte("HTTP/")):
		return trial{} // as it should
	case reply.Control:
		t.verdict, t.detail = Noted, "the server refuses a line of the request, and goes on to the next"
	case err != nil && !timeout(err):
		t.detail = "the server closes the connection"
	default:
		t.detail = "the server says nothing more"
	}
	return t
}

// readLines reads until there are as many lines, or nothing more comes.
func readLines(nc net.Conn, most int) (said []byte, lines int, err error) {
	buf := make([]byte, 4096)
	for len(said) < 64<<10 && lines < most && err == nil {
		var n int
		n, err = nc.Read(buf)
		said = append(said, buf[:n]...)
		lines = bytes.Count(said, []byte("\n"))
	}
	return said, lines, err
}

// pipelining asks the control command once, and where that is answered in one
// line, three times in one piece: that makes three lines more.
func (r *run) pipelining(ctx context.Context, injector starttls.Injector) trial {
	v := r.visit(ctx, func(c *starttls.Config) { c.Bare = true })
	if v.err != nil {
		return r.notMade(ctx, v.err)
	}
	defer v.conn.Close()
	in := injector.Injection(r.options.Name, marker())
	said, reply, err := r.listen(ctx, v.conn, in, in.Control)
	line := bytes.TrimPrefix(said, beforeControl(in, said))
	if err != nil || !reply.Control || bytes.IndexByte(line, '\n') != len(line)-1 {
		return trial{}
	}
	const times = 3
	msg := bytes.Repeat(in.Control, times)
	v.conn.SetDeadline(time.Now().Add(r.patience(2 * time.Second)))
	if _, err := v.conn.Write(msg); err != nil {
		return r.notMade(ctx, err)
	}
	defer context.AfterFunc(ctx, func() { v.conn.Close() })()
	answers, n, err := readLines(v.conn, times)
	t := trial{verdict: Passed, detail: "three commands in one piece get three answers",
		evidence: slices.Concat(lines(v.conn.Transcript()), inTLS(starttls.ClientSide, msg), inTLS(starttls.ServerSide, answers))}
	switch {
	case n >= times:
	case err != nil && !timeout(err):
		t.detail = "the server closes the connection at commands that come together"
	default:
		t.verdict, t.detail = Warn, fmt.Sprintf("three commands in one piece get %d answers, and then nothing more comes", n)
	}
	return t
}

// earlyHello sends the ClientHello in one piece with the request for TLS. The
// server may take it up, or drop it (RFC 9051, section 6.2.1).
func (r *run) earlyHello(ctx context.Context) trial {
	if err := r.connector.turn(ctx); err != nil {
		return r.notMade(ctx, err)
	}
	nc, err := r.connector.open(ctx, "tcp", r.target.Address)
	if err != nil {
		return r.notMade(ctx, err)
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	nc.SetDeadline(time.Now().Add(r.patience(2*time.Second) + r.cleartextTime()))
	held := &heldHello{Conn: nc, hello: make(chan []byte, 1), granted: make(chan struct{})}
	info := r.target.Protocol.Info()
	cfg := &tls.Config{ServerName: r.options.Name, InsecureSkipVerify: true}
	if info.ALPNUpgraded {
		cfg.NextProtos = info.ALPN
	}
	done := make(chan error, 1)
	go func() { done <- tls.Client(held, cfg).Handshake() }()
	w := starttls.NewWire(ctx, nc, starttls.WireConfig{ServerName: r.options.Name, LocalName: r.options.Local, OnAsk: func(msg []byte) []starttls.Segment {
		return []starttls.Segment{{Data: slices.Concat(msg, <-held.hello)}}
	}})
	ask := starttls.IfOffered
	if r.blind {
		ask = starttls.Always
	}
	_, err = r.target.Protocol.Client(w, ask)
	asked, evidence := w.Asked(), lines(w.Transcript())
	held.Conn = w.Conn()
	if err != nil {
		nc.Close()
	} else { // one that takes it up is as quick as it was before
		nc.SetDeadline(time.Now().Add(r.patience(250*time.Millisecond) + 2*time.Duration(r.Milliseconds.Handshake*float64(time.Millisecond))))
	}
	close(held.granted)
	if failed := <-done; err == nil {
		err = failed
	}
	t := trial{verdict: Passed, evidence: evidence}
	switch {
	case err == nil:
		t.detail = "a ClientHello in one piece with the request is taken up"
	case !asked || ctx.Err() != nil:
		return r.notMade(ctx, err)
	case timeout(err):
		t.verdict, t.detail = Noted, "a ClientHello in one piece with the request is lost, and the server waits for another"
	default:
		t.detail = "the server ends the connection then: " + err.Error()
	}
	return t
}

// heldHello is a connection whose first write is held back, for somebody else
// to make, and on which nothing is read until that was granted.
type heldHello struct {
	net.Conn
	hello   chan []byte
	granted chan struct{}
	held    bool
}

func (h *heldHello) Write(b []byte) (int, error) {
	if !h.held {
		h.held = true
		h.hello <- bytes.Clone(b)
		return len(b), nil
	}
	return h.Conn.Write(b)
}

func (h *heldHello) Read(b []byte) (int, error) {
	<-h.granted
	return h.Conn.Read(b)
}
