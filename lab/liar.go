package lab

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// liar is a connection that says something else than what it is given to say,
// and listens for what must not be heard.
type liar struct {
	net.Conn
	session  *session
	tls      bool
	honest   bool // what is written now is settled elsewhere
	withhold bool // the first answer

	mu      sync.Mutex
	history []byte
	heard   []byte // since the last write
	reads   int
	writes  int
	wentOn  bool // while the answer was withheld
	ahead   []byte

	instead map[int][]byte // what was said in the place of the n-th message
}

const (
	mostHeard = 64 << 10 // bytes kept of a client's message
	mostShown = 1024     // bytes shown of a server's
)

func newLiar(s *session, nc net.Conn, tls bool) *liar {
	return &liar{Conn: nc, session: s, tls: tls, instead: map[int][]byte{}}
}

func (c *liar) Read(b []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(b, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	c.await(c.session.limits.Idle)
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.note(b[:n])
	}
	return n, err
}

// await bounds the next read, within the time that the connection has.
func (c *liar) await(d time.Duration) {
	at := time.Now().Add(d)
	if at.After(c.session.deadline) {
		at = c.session.deadline
	}
	c.Conn.SetReadDeadline(at)
}

func (c *liar) note(b []byte) {
	c.mu.Lock()
	c.reads++
	if len(c.history) < mostHeard {
		c.heard, c.history = append(c.heard, b...), append(c.history, b...)
	}
	heard := c.heard
	c.mu.Unlock()
	c.session.overhear(b, heard, c.tls)
}

func (c *liar) messages() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}

func (c *liar) request(consent []byte) request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return request{bytes.Clone(c.history), bytes.Clone(c.heard), consent}
}

func (c *liar) Write(b []byte) (int, error) {
	c.mu.Lock()
	heard := c.heard
	c.heard = nil
	c.writes++
	turn := c.writes
	c.mu.Unlock()
	if c.withhold && (len(heard) > 0 || c.session.protocol.Info().SpeaksAfterTLS) {
		c.withhold = false
		c.wait()
	}
	out := b
	if c.session.lie.reply != nil && !c.honest {
		out = c.session.lie.reply(c.session.rehearsal, said{c.tls, turn, heard, b})
		if !bytes.Equal(out, b) {
			c.instead[turn] = out[:min(len(out), mostShown)]
		}
	}
	for len(out) > 0 {
		n := min(len(out), 16<<10)
		if _, err := c.Conn.Write(out[:n]); err != nil {
			return 0, err
		}
		out = out[n:]
	}
	return len(b), nil
}

// wait keeps the first answer inside TLS back, and hears whether the client goes
// on without it.
func (c *liar) wait() {
	c.await(c.session.limits.Withhold)
	var b [4096]byte
	n, _ := c.Conn.Read(b[:])
	if n > 0 {
		c.wentOn = true
		c.note(b[:n])
		c.ahead = append(c.ahead, b[:n]...)
	}
}
