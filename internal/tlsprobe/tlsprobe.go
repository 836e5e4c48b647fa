// Package tlsprobe asks a TLS server what it would agree to, and whether it has
// one of the old faults: what crypto/tls can not ask, since it refuses to offer
// it. It works over any connection that stands where TLS begins, so how one
// gets there, STARTTLS or not, is the caller's business.
//
// A [Server] is one server and how to reach it. Its methods each answer one
// question with as few connections as it takes; what one of them learnt the
// next one knows, so asking all, as [Server.Scan] does, costs less than asking
// each. [Send] is the level below: one ClientHello, one [Answer].
//
// Nothing here harms: over-reads are asked for in the smallest size that shows,
// what leaked is not kept, and each probe is a handful of connections. Every
// read is bounded in bytes and by the connection's deadline.
package tlsprobe

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a TLS server to ask. Dial must be set; the rest may be zero. Its
// methods may be called at the same time; they remember what they learnt, so a
// Server is for one look at one server. Their error is that of Dial or of the
// context: what a server says or does is never one.
type Server struct {
	// Dial gives a fresh connection on which the next byte is TLS's. It is
	// called once for each connection.
	Dial func(ctx context.Context) (net.Conn, error)

	Name     string        // host name to ask for (SNI); empty, or an address: none
	ALPN     []string      // the protocol names that are right here; empty: none is offered
	Timeout  time.Duration // of one connection, from the first byte of TLS on; 0: 5 s
	Parallel int           // connections at once; 0: 1

	start       sync.Once
	slots       chan struct{}
	connections atomic.Int64

	versions memo[[]Version]
	suites   [5]memo[*Suites] // of SSL 3.0 to TLS 1.3
	weak     [5]memo[*Suites] // those of them that may be a fault
	classic  memo[*classic]
}

// Connections counts the connections made so far.
func (s *Server) Connections() int { return int(s.connections.Load()) }

func (s *Server) timeout() time.Duration {
	if s.Timeout <= 0 {
		return 5 * time.Second
	}
	return s.Timeout
}

// open dials. The session holds one of the Parallel slots until it is closed,
// so who has one opens no other.
func (s *Server) open(ctx context.Context) (*session, error) {
	s.start.Do(func() { s.slots = make(chan struct{}, max(1, s.Parallel)) })
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s.connections.Add(1)
	nc, err := s.Dial(ctx)
	if err != nil {
		<-s.slots
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(s.timeout()))
	x := newSession(ctx, nc)
	x.release = func() { nc.Close(); <-s.slots }
	return x, nil
}

// ask sends one hello on a connection of its own.
func (s *Server) ask(ctx context.Context, h *Hello) (*Answer, error) {
	x, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer x.close()
	return x.send(h)
}

// askTwice asks again if the first connection ended without a word: one that
// was lost proves nothing.
func (s *Server) askTwice(ctx context.Context, h *Hello) (*Answer, error) {
	a, err := s.ask(ctx, h)
	if err == nil && (a.Outcome == Closed || a.Outcome == TimedOut) {
		return s.ask(ctx, h)
	}
	return a, err
}

// all runs the tasks at the same time, as far as connections are free, and
// gives their errors.
func all(tasks ...func() error) error {
	errs := make([]error, len(tasks))
	var wg sync.WaitGroup
	for i, task := range tasks {
		wg.Go(func() { errs[i] = task() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// memo holds what was learnt once.
type memo[T any] struct {
	sync.Mutex
	known bool
	value T
}

// peek gives what is known already.
func (m *memo[T]) peek() (value T, known bool) {
	m.Lock()
	defer m.Unlock()
	return m.value, m.known
}

// get learns it, unless it is known. A failure is not remembered.
func (m *memo[T]) get(learn func() (T, error)) (T, error) {
	m.Lock()
	defer m.Unlock()
	if m.known {
		return m.value, nil
	}
	v, err := learn()
	m.known, m.value = err == nil, v
	return v, err
}
