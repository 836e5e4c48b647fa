package gateway

import (
	"context"
	"sync"
	"time"

	"example.org/starttls"
)

// helloCache is what a backend lists for itself, asked for again every minute:
// what a client sees in clear where TLS is optional.
type helloCache struct {
	mu    sync.Mutex
	asked time.Time
	hello starttls.Hello
}

const helloAge = time.Minute

func (h *helloCache) get(ctx context.Context, s *service) starttls.Hello {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.asked) < helloAge {
		return h.hello
	}
	h.asked = time.Now()
	p, ok := s.p.(starttls.Prober)
	if !ok {
		return h.hello
	}
	cfg, _, err := s.outgoing(ctx)
	if err != nil {
		return h.hello
	}
	c, _, err := s.dial(ctx, cfg, nil, nil, nil)
	if err != nil {
		return h.hello
	}
	defer c.Close()
	w := c.Wire(ctx)
	defer w.Release()
	c.SetDeadline(h.asked.Add(s.Limits.Dial))
	if hello, err := p.Probe(w); err == nil {
		hello.Greeting = nil // each half makes its own
		if s.SignIn == "tls" {
			hello.Auth = nil
		}
		h.hello = hello
	}
	return h.hello
}
