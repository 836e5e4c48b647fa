package gateway

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// rest is what is read of c, and not passed on.
func (c *conn) rest() []byte {
	if c.buf == nil {
		return nil
	}
	return c.buf[c.r:c.n]
}

// waiting shows what has come and was not read. Where the socket cannot be asked
// it waits a moment; deadline is the one that reads have afterwards.
func (c *conn) waiting(deadline time.Time) []byte {
	if c.r == c.n && c.raw == nil {
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		c.fill() // who reads next sees its error
		c.SetReadDeadline(deadline)
	}
	if c.r < c.n || c.raw == nil {
		return slices.Clone(c.rest())
	}
	b, n := make([]byte, 64), 0
	c.raw.Read(func(fd uintptr) bool {
		n = peekSocket(fd, b)
		return true
	})
	return b[:n]
}

// socketOf makes an end of the socket itself, of which nothing but bytes is
// wanted any more.
func socketOf(c *conn) *end {
	e := &end{conn: c.Conn, below: c, first: append([]byte(nil), c.rest()...)}
	c.release()
	e.conn.SetDeadline(time.Time{})
	return e
}

// joinSockets makes ready the relay of a session that nobody looks at.
func (s *session) joinSockets() {
	s.relay.Store(&relay{client: socketOf(s.client), backend: socketOf(s.below), kernel: true, idle: s.Limits.Idle, linger: lingerTime})
}

// splice passes on all that comes. Between two sockets of TCP the kernel does
// that (splice(2)), and no byte comes up into the program. Now and then the copy
// is interrupted, to see whether anything has passed.
func (r *relay) splice(from, to *end, count *atomic.Int64) error {
	if len(from.first) > 0 {
		if _, err := to.conn.Write(from.first); err != nil {
			return err
		}
		count.Add(int64(len(from.first)))
		from.first = nil
	}
	for {
		from.conn.SetReadDeadline(time.Now().Add(min(r.idle, r.linger) / 2))
		n, err := copySockets(to.conn, from.conn)
		if n > 0 {
			count.Add(n)
			r.active.Store(time.Now().Unix())
		}
		switch {
		case err == nil:
			return io.EOF
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
	}
}

// copySockets calls ReadFrom itself, so that it is seen which sockets the kernel
// can join.
func copySockets(to, from net.Conn) (int64, error) {
	if t, ok := to.(*net.TCPConn); ok {
		return t.ReadFrom(from)
	}
	return io.Copy(to, from)
}
