package check

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"example.org/starttls"
)

// One connection with a probe in it, and what came of it.

// exchanged is what came of one connection with a probe in it.
type exchanged struct {
	visit    visit
	raw      *listened // all that came on the connection
	late     []byte    // what was said in clear behind the request, past the transcript
	said     []byte    // by the server inside TLS
	reply    starttls.Reply
	err      error // that ended the listening
	evidence []string
}

// exchange upgrades as edit has it, says what is to be said inside TLS, and asks
// the control command there.
func (r *run) exchange(ctx context.Context, in starttls.Injection, inside []byte, edit func(*starttls.Config)) (x exchanged) {
	x.visit = r.visit(ctx, func(c *starttls.Config) {
		c.Bare = true
		c.Timeouts.Cleartext = min(c.Timeouts.Cleartext, r.patience(2*time.Second)+2*r.cleartextTime())
		c.Timeouts.Handshake = min(c.Timeouts.Handshake, r.patience(2*time.Second))
		if edit != nil {
			edit(c)
		}
		open := c.Dialer
		c.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := open(ctx, network, addr)
			x.raw = &listened{Conn: nc}
			return x.raw, err
		}
	})
	if x.visit.err != nil {
		return x
	}
	conn, msg := x.visit.conn, slices.Concat(inside, in.Control)
	defer conn.Close()
	x.said, x.reply, x.err = r.listen(ctx, conn, in, msg)
	x.evidence = slices.Concat(lines(conn.Transcript()), inTLS(starttls.ClientSide, msg), inTLS(starttls.ServerSide, x.said))
	return x
}

func inTLS(from starttls.Side, b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return starttls.Entry{From: from, TLS: true, Data: b}.Lines()
}

// listened is a connection that keeps the beginning of what came over it.
type listened struct {
	net.Conn
	came []byte
}

func (l *listened) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.came = append(l.came, b[:min(n, max(0, 64<<10-len(l.came)))]...)
	return n, err
}

// past is what came after what the transcript holds.
func (l *listened) past(t starttls.Transcript) []byte {
	n := 0
	for _, e := range t {
		if e.From == starttls.ServerSide {
			n += len(e.Data)
		}
	}
	return l.came[min(n, len(l.came)):]
}

// beforeControl is the longest beginning of said in which the control command is
// not answered and whose end is that of a line.
func beforeControl(in starttls.Injection, said []byte) []byte {
	end := 0
	for i, b := range said {
		if in.Classify(said[:i+1]).Control {
			return said[:end]
		}
		if b == '\n' {
			end = i + 1
		}
	}
	return nil
}

// listen writes msg inside TLS and reads until the control command is answered,
// the probe is, or nothing more is to be expected.
func (r *run) listen(ctx context.Context, conn *starttls.Conn, in starttls.Injection, msg []byte) (said []byte, reply starttls.Reply, err error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(r.patience(2 * time.Second)))
	if _, err := conn.Write(msg); err != nil {
		return nil, reply, err
	}
	buf := make([]byte, 4096)
	for len(said) < 64<<10 {
		n, err := conn.Read(buf)
		said = append(said, buf[:n]...)
		before := reply.Control
		reply = in.Classify(said)
		switch {
		case reply.Probe:
			return said, reply, nil
		case reply.Control && !r.target.Protocol.Info().Unordered:
			return said, reply, nil
		case err != nil:
			return said, reply, err
		case reply.Control && !before: // the answer to the probe may come later
			conn.SetReadDeadline(time.Now().Add(r.patience(250 * time.Millisecond)))
		}
	}
	return said, reply, errors.New("the server does not stop")
}

// patience is how long silence is waited for: least, or four round trips.
func (r *run) patience(least time.Duration) time.Duration {
	return max(least, time.Duration(4*r.Milliseconds.Dial*float64(time.Millisecond)))
}

// cleartextTime is how long the first visit took in clear: some servers make
// strangers wait for their greeting.
func (r *run) cleartextTime() time.Duration {
	return time.Duration(r.Milliseconds.Cleartext * float64(time.Millisecond))
}

func timeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func lines(t starttls.Transcript) (out []string) {
	for _, e := range t {
		out = append(out, e.Lines()...)
	}
	return out
}
