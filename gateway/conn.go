package gateway

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// bufferSize is enough for four TLS records. A buffer is held only while there
// is something in it: nobody waits with one in hand.
const bufferSize = 64 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// conn is one of a session's two connections, below TLS. It reads from the
// socket into a pooled buffer that is given back before it waits, and gives
// crypto/tls one record at a time: what that is given beyond a record it keeps,
// in a buffer that never shrinks.
type conn struct {
	net.Conn
	client, local net.Addr // as the PROXY protocol says, or the socket's

	raw  syscall.RawConn // nil: not a socket
	try  func(fd uintptr) bool
	buf  *[bufferSize]byte
	r, n int   // unread: buf[r:n]
	left int   // bytes of the TLS record under way
	eof  bool  // the peer has closed its side, below TLS
	err  error // of the read that try made

	mu     sync.Mutex // of what follows
	corked bool
	held   []byte
}

func newConn(nc net.Conn) *conn {
	c := &conn{Conn: nc, client: nc.RemoteAddr(), local: nc.LocalAddr(), raw: rawSocket(nc)}
	c.try = c.readOnce
	return c
}

func (c *conn) RemoteAddr() net.Addr { return c.client }
func (c *conn) LocalAddr() net.Addr  { return c.local }

// fill reads once into a buffer.
func (c *conn) fill() error {
	if c.raw == nil {
		c.buf = buffers.Get().(*[bufferSize]byte)
		c.r, c.n, c.err = 0, 0, nil
		c.n, c.err = c.Conn.Read(c.buf[:])
	} else if err := c.raw.Read(c.try); err != nil {
		c.release()
		return err
	}
	if c.n > 0 {
		return nil
	}
	err := c.err
	c.release()
	if err == nil || errors.Is(err, io.EOF) {
		c.eof, err = true, io.EOF
	}
	return err
}

// readOnce reads without waiting. False means that there is nothing yet.
func (c *conn) readOnce(fd uintptr) bool {
	c.buf = buffers.Get().(*[bufferSize]byte)
	c.r, c.n = 0, 0
	for {
		n, err := readSocket(fd, c.buf[:])
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			c.release()
			return false
		}
		c.n, c.err = max(n, 0), err
		return true
	}
}

func (c *conn) release() {
	if c.buf != nil {
		buffers.Put(c.buf)
	}
	c.buf, c.r, c.n = nil, 0, 0
}

// Read gives what has come, but not past the end of a TLS record, if it is one.
func (c *conn) Read(p []byte) (int, error) {
	if c.r == c.n {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	b := c.buf[c.r:c.n]
	if c.left == 0 && len(b) >= 5 && b[0] >= 0x14 && b[0] <= 0x17 && b[1] == 3 {
		c.left = 5 + int(b[3])<<8 + int(b[4])
	}
	if c.left > 0 {
		b = b[:min(len(b), c.left)]
	}
	n := copy(p, b)
	c.r += n
	c.left = max(0, c.left-n)
	if c.r == c.n {
		c.release()
	}
	return n, nil
}

// peek returns the first byte that comes, without taking it.
func (c *conn) peek() (byte, error) {
	if c.r == c.n {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	return c.buf[c.r], nil
}

// each gives f all that comes, in pieces valid until f returns.
func (c *conn) each(f func([]byte) error) error {
	for {
		if c.r == c.n {
			if err := c.fill(); err != nil {
				return err
			}
		}
		err := f(c.buf[c.r:c.n])
		c.release()
		if err != nil {
			return err
		}
	}
}

// Write holds b back while the connection is corked.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.Conn.Write(b)
	}
	if len(c.held)+len(b) > cap(c.held) {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if len(b) > cap(c.held) {
		return c.Conn.Write(b)
	}
	c.held = append(c.held, b...)
	return len(b), nil
}

func (c *conn) flush() error {
	if len(c.held) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.held)
	c.held = c.held[:0]
	return err
}

// corkSize holds the records of one buffer, with what TLS adds to them.
const corkSize = bufferSize + 1024

var corks = sync.Pool{New: func() any { return new([corkSize]byte) }}

// whole makes one write to the socket of all that f writes: crypto/tls makes
// one of each record.
func (c *conn) whole(f func() error) error {
	buf := corks.Get().(*[corkSize]byte)
	defer corks.Put(buf)
	c.mu.Lock()
	c.corked, c.held = true, buf[:0]
	c.mu.Unlock()
	err := f()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.flush(); err == nil {
		err = e
	}
	c.corked, c.held = false, nil
	return err
}

// breakOff resets the connection, below the TLS on it.
func (c *conn) breakOff() {
	if c == nil {
		return
	}
	if t, ok := c.Conn.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Conn.Close()
}

// CloseWrite tells the peer that nothing more will come.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
