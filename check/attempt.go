package check

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/reflection"
)

// attempt is our end of one connection to the reflector.
type attempt struct {
	offered, asked bool
	err            error // that ended it before a handshake ended well
	came, went     reflection.Stream
	hello          []byte // our first flight of TLS
	tls            tls.ConnectionState
}

// pathTime bounds a phase of one of these connections: a path that swallows what
// is said must not cost all variants their time.
const pathTime = 5 * time.Second

// attempt makes one connection, up to the end of the handshake. Who that is held
// with is looked at afterwards. A refusal is the path's, and not asked for again.
func (r *run) attempt(ctx context.Context, v pathVariant) (x attempt) {
	tap := &reflection.Tap{}
	var seen visit
	cfg := r.config(&seen)
	limit := min(r.options.Timeout, pathTime)
	cfg.Timeouts = starttls.Timeouts{Dial: limit, Cleartext: limit, Handshake: limit}
	cfg.Bare, cfg.Blind, cfg.OnAsk, cfg.OnTLS = true, v.ask == starttls.Always, v.write, tap.Upgrade
	cfg.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := r.connector.open(ctx, network, addr)
		tap.Conn = nc
		return tap, err
	}
	seen.conn, seen.err = starttls.Dial(ctx, r.target.Address, r.target.Protocol, cfg)
	var hello starttls.Hello
	var times starttls.Timings
	var e *starttls.Error
	switch {
	case seen.conn != nil:
		seen.conn.Close()
		hello, times, x.asked = seen.conn.Before(), seen.conn.Timings(), true
	case errors.As(seen.err, &e):
		hello, times, x.asked, x.err = e.Before, e.Timings, e.Asked, e.Err
	}
	x.offered = hello.Offered
	if x.err == nil || r.Milliseconds.Dial == 0 {
		r.timed(times)
	}
	r.StartTLS.Offered = r.StartTLS.Offered || hello.Offered
	if len(hello.Caps) > 0 {
		r.StartTLS.Before = hello.Caps
	}
	if seen.seen != nil {
		x.tls = *seen.seen
	}
	x.came, x.went, x.hello = tap.Seen()
	return x
}
