package reflection

import (
	"net"
	"sync"
)

// Most is how many bytes are kept of each direction of a connection in clear, and
// how many of its TLS. It holds every protocol's way to TLS, and the handshake.
const Most = 16 << 10

// Stream is what one end saw of one direction of a connection.
type Stream struct {
	Clear []byte `json:"clear"` // up to TLS
	TLS   []byte `json:"tls"`   // from there on: handshake records, then encrypted ones
}

// Tap is a connection that keeps the beginning of what passes over it, at either
// end.
type Tap struct {
	net.Conn

	mu         sync.Mutex
	tls        bool
	came, went Stream
	flight     int // bytes of TLS in the first write of it
}

func (t *Tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(&t.came, b[:n])
	return n, err
}

func (t *Tap) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.keep(&t.went, b)
	if t.tls && t.flight == 0 {
		t.flight = len(t.went.TLS)
	}
	t.mu.Unlock()
	return t.Conn.Write(b)
}

func (t *Tap) keep(s *Stream, b []byte) {
	to := &s.Clear
	if t.tls {
		to = &s.TLS
	}
	*to = append(*to, b[:min(len(b), Most-len(*to))]...)
}

// Upgrade notes that TLS comes next. ahead is what was read of it by now.
func (t *Tap) Upgrade(ahead []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tls = true
	if clear := len(t.came.Clear) - len(ahead); clear >= 0 && len(t.came.Clear) < Most {
		t.came = Stream{t.came.Clear[:clear:clear], t.came.Clear[clear:]}
	}
}

// Seen is what came and went so far; hello is the first flight of TLS that went.
func (t *Tap) Seen() (came, went Stream, hello []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.came, t.went, t.went.TLS[:t.flight]
}
