package check

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"example.org/starttls"
)

// What a server does with cleartext where TLS is due, inside TLS, and after it.

func afterwardsTests(injector starttls.Injector) []test {
	return []test{
		{id: "clear-after-go-ahead", level: ActiveProbes, try: func(ctx context.Context, r *run) trial {
			return worst([]trial{
				r.insteadOfTLS(ctx, injector, nil),
				r.insteadOfTLS(ctx, injector, []byte("\x15\x03\x01\x00\x02\x02\x28")), // alert: handshake_failure
			})
		}},
		{id: "clear-in-tls", level: ActiveProbes, try: func(ctx context.Context, r *run) trial { return r.clearInTLS(ctx, injector, false) }},
		{id: "clear-after-tls", level: ActiveProbes, try: func(ctx context.Context, r *run) trial {
			return r.clearInTLS(ctx, injector, true)
		}},
	}
}

// insteadOfTLS says first, if there is any, and then the control command in
// clear where the ClientHello is due. A server must close by then.
func (r *run) insteadOfTLS(ctx context.Context, injector starttls.Injector, first []byte) trial {
	if err := r.connector.turn(ctx); err != nil {
		return r.notMade(ctx, err)
	}
	nc, err := r.connector.open(ctx, "tcp", r.target.Address)
	if err != nil {
		return r.notMade(ctx, err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(r.options.Timeout))
	w := starttls.NewWire(ctx, nc, starttls.WireConfig{ServerName: r.options.Name, LocalName: r.options.Local})
	defer w.Release()
	ask := starttls.IfOffered
	if r.blind {
		ask = starttls.Always
	}
	if _, err := r.target.Protocol.Client(w, ask); err != nil {
		return r.notMade(ctx, err)
	}
	in := injector.Injection(r.options.Name, marker())
	if _, err := w.Write(append(first, in.Control...)); err != nil {
		return r.notMade(ctx, err)
	}
	nc.SetReadDeadline(time.Now().Add(r.patience(250 * time.Millisecond)))
	said, reply, err := r.readClear(nc, in)
	t := trial{evidence: append(lines(w.Transcript()), clearEntry(starttls.ServerSide, said)...)}
	switch {
	case reply.Control:
		t.verdict, t.detail = Vulnerable, "the server answers a command in clear where TLS is due, and goes on"
	case len(said) > 0 && err != nil && !timeout(err):
		t.verdict, t.detail = Passed, "the server says "+starttls.Quote(said)+" in clear before it closes"
	case err != nil && !timeout(err):
		t.verdict, t.detail = Passed, "the server closes the connection"
	default:
		t.verdict, t.detail = Passed, "the server waits for TLS and answers nothing"
	}
	return t
}

// clearInTLS says the control command in clear between TLS records, or behind
// the end of TLS (close_notify). It must not be answered, neither in clear nor
// inside TLS (RFC 8446, sections 5.1 and 6.1).
func (r *run) clearInTLS(ctx context.Context, injector starttls.Injector, afterEnd bool) trial {
	v := r.visit(ctx, func(c *starttls.Config) { c.Bare = true })
	if v.err != nil {
		return r.notMade(ctx, v.err)
	}
	defer v.conn.Close()
	defer context.AfterFunc(ctx, func() { v.conn.Close() })()
	v.conn.SetDeadline(time.Now().Add(r.patience(250 * time.Millisecond)))
	in := injector.Injection(r.options.Name, marker())
	raw := v.conn.NetConn()
	evidence := lines(v.conn.Transcript())
	if afterEnd {
		v.conn.CloseWrite()
		evidence = append(evidence, "C~ (close_notify)")
		// The server's own close_notify; many servers close with it.
		if _, _, err := r.readClear(raw, in); err != nil && !timeout(err) {
			return trial{verdict: Passed, detail: "the server ends the connection", evidence: evidence}
		}
		v.conn.SetDeadline(time.Now().Add(r.patience(250 * time.Millisecond)))
	}
	raw.Write(in.Control)
	evidence = append(evidence, clearEntry(starttls.ClientSide, in.Control)...)
	var said []byte
	var reply starttls.Reply
	var err error
	if afterEnd {
		said, reply, err = r.readClear(raw, in)
	} else {
		said, reply, err = r.readTLS(v.conn, in)
	}
	t := trial{evidence: append(evidence, clearEntry(starttls.ServerSide, said)...)}
	switch {
	case reply.Control && afterEnd && r.target.Protocol.Info().ClearAfterTLS:
		t.verdict, t.severity, t.detail = Noted, Info, "the session goes on in clear after the end of TLS, as the protocol allows"
	case reply.Control:
		t.verdict, t.detail = Vulnerable, "a command in clear is answered"
	case errors.As(err, new(tls.RecordHeaderError)):
		t.verdict, t.severity, t.title = Warn, Low, "The server says something in clear where only TLS may be"
		t.detail = "the server says " + starttls.Quote(said) + " in clear before it closes"
	case err != nil && !timeout(err):
		t.verdict, t.detail = Passed, "the server ends the connection"
	default:
		t.verdict, t.detail = Passed, "the server answers nothing"
	}
	return t
}

// readTLS reads what the server says inside TLS, or in clear in the place of a
// record.
func (r *run) readTLS(conn *starttls.Conn, in starttls.Injection) (said []byte, reply starttls.Reply, err error) {
	// The alert at what is no record would be more of a command, or the end of one.
	conn.NetConn().SetWriteDeadline(time.Unix(1, 0))
	said, reply, err = readUntil(conn, func(said []byte) starttls.Reply { return in.Classify(said) })
	var rec tls.RecordHeaderError
	if errors.As(err, &rec) && !isRecord(rec.RecordHeader[:]) {
		said = append(said, rec.RecordHeader[:]...)
		reply.Control = !r.ends(conn.NetConn())
	}
	return said, reply, err
}

// readClear reads what the server says in clear between TLS records, and returns
// that alone.
func (r *run) readClear(nc net.Conn, in starttls.Injection) (clear []byte, reply starttls.Reply, err error) {
	said, reply, err := readUntil(nc, func(said []byte) starttls.Reply { return in.Classify(withoutRecords(said)) })
	if reply.Control && r.ends(nc) {
		reply.Control, err = false, io.EOF
	}
	return withoutRecords(said), reply, err
}

// ends reports whether the server now closes the connection. What it said was
// then a last word, as Exim's 421 or vsftpd's 500, and no answer to a command.
func (r *run) ends(nc net.Conn) bool {
	nc.SetReadDeadline(time.Now().Add(r.patience(250 * time.Millisecond)))
	_, err := io.Copy(io.Discard, io.LimitReader(nc, 64<<10))
	return !timeout(err)
}

// readUntil reads until an answer is recognised, or nothing more comes.
func readUntil(nc net.Conn, classify func([]byte) starttls.Reply) (said []byte, reply starttls.Reply, err error) {
	buf := make([]byte, 4096)
	for len(said) < 64<<10 {
		n, err := nc.Read(buf)
		said = append(said, buf[:n]...)
		if reply = classify(said); reply.Control || err != nil {
			return said, reply, err
		}
	}
	return said, reply, errors.New("the server does not stop")
}

// withoutRecords leaves out whole TLS records, and one that is not whole.
func withoutRecords(b []byte) (clear []byte) {
	for len(b) > 0 {
		if !isRecord(b) {
			return b
		}
		if len(b) < 5 {
			return nil
		}
		b = b[min(len(b), 5+int(b[3])<<8+int(b[4])):]
	}
	return nil
}

// isRecord reports whether b begins a TLS record (RFC 8446, section 5.1).
func isRecord(b []byte) bool {
	return b[0] >= 0x14 && b[0] <= 0x17 && (len(b) < 2 || b[1] == 3)
}

func clearEntry(from starttls.Side, b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return starttls.Entry{From: from, Data: b}.Lines()
}
