package gateway

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// socket is where clients of one address come; its service can change.
type socket struct {
	net.Listener
	service atomic.Pointer[service]
}

// listen opens a socket: HOST:PORT, or a path, where a socket that nobody
// listens at any more is replaced.
func listen(addr string) (net.Listener, error) {
	if !strings.HasPrefix(addr, "/") {
		if strings.HasPrefix(addr, "fd:") {
			return nil, errors.New(addr + ": systemd has handed over no socket of that name")
		}
		return listenConfig.Listen(context.Background(), "tcp", addr)
	}
	if c, err := net.Dial("unix", addr); err == nil {
		c.Close()
		return nil, errors.New(addr + ": somebody listens there")
	}
	if i, err := os.Lstat(addr); err == nil && i.Mode()&os.ModeSocket != 0 {
		os.Remove(addr)
	}
	return net.Listen("unix", addr)
}

// acceptLoop accepts until the socket is closed.
func (g *Gateway) acceptLoop(k *socket) {
	pause := time.Duration(0)
	for {
		nc, err := k.Accept()
		if err == nil {
			pause = 0
			g.take(k.service.Load(), nc)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Out of file descriptors, most often: waiting is all that helps.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		g.log.Error("can not accept", "err", err)
		select {
		case <-time.After(pause):
		case <-g.base.Done():
			return
		}
	}
}

// take begins a session on a connection, if its client may have one more.
func (g *Gateway) take(s *service, nc net.Conn) {
	began := time.Now()
	x := &session{service: s, g: g, client: newConn(nc), began: began}
	x.ctx, x.timeout = context.WithDeadlineCause(g.base, began.Add(s.Limits.Handshake), errHandshakeTime)
	g.mu.Lock()
	x.count = g.counts[s.Name]
	g.sessions[x] = struct{}{}
	g.mu.Unlock()
	g.running.Add(1)
	g.metrics.before.WithLabelValues(s.Name).Inc()
	if err := x.count.enter(s.Limits); err != nil { // counted before a goroutine is made for it
		x.timeout()
		nc.Close()
		g.ended(x, err)
		return
	}
	go x.serve()
}

// counter counts a listener's connections.
type counter struct {
	mu         sync.Mutex
	all        int
	handshakes int
	by         map[netip.Addr]int
}

func newCounter() *counter { return &counter{by: map[netip.Addr]int{}} }

// limitError is a connection that was one too many.
type limitError struct{ what string }

func (e *limitError) Error() string { return "too many " + e.what }

// enter counts a connection, which every outcome leaves again.
func (c *counter) enter(l Limits) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all++
	c.handshakes++
	switch {
	case c.all > l.Connections:
		return &limitError{"connections"}
	case c.handshakes > l.Handshakes:
		return &limitError{"connections before TLS"}
	}
	return nil
}

// from counts a connection for the address it came from, in IPv6 for its /64.
func (c *counter) from(ip netip.Addr, l Limits) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[ip]++; c.by[ip] > l.PerAddress {
		return &limitError{"connections from one address"}
	}
	return nil
}

// settled counts a handshake as done with.
func (c *counter) settled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handshakes--
}

func (c *counter) leave(ip netip.Addr, settled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if !settled {
		c.handshakes--
	}
	if ip.IsValid() {
		if c.by[ip]--; c.by[ip] <= 0 {
			delete(c.by, ip)
		}
	}
}

func network64(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return ip
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return ip
	}
	return p.Addr()
}
