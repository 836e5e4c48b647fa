package check

import (
	"context"
	"crypto/tls"
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

// attempt makes one connection, up to the end of the handshake.
func (r *run) attempt(ctx context.Context, v pathVariant) (x attempt) {
	limit := min(r.options.Timeout, pathTime)
	dial, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	took := func(phase *float64) {
		*phase = milliseconds(time.Since(start))
		start = time.Now()
	}
	nc, err := r.connector.open(dial, "tcp", r.target.Address)
	if err != nil {
		x.err = err
		return x
	}
	defer nc.Close()
	took(&r.Milliseconds.Dial)
	tap := &reflection.Tap{Conn: nc}
	defer func() { x.came, x.went, x.hello = tap.Seen() }()
	nc.SetDeadline(time.Now().Add(limit))
	w := starttls.NewWire(ctx, tap, starttls.WireConfig{ServerName: r.options.Name, LocalName: r.options.Local, NoTranscript: true, OnAsk: v.write})
	defer w.Release()
	hello, err := r.target.Protocol.Client(w, v.ask)
	took(&r.Milliseconds.Cleartext)
	x.offered, x.asked = hello.Offered, w.Asked()
	r.StartTLS.Offered = r.StartTLS.Offered || hello.Offered
	if len(hello.Caps) > 0 {
		r.StartTLS.Before = hello.Caps
	}
	if ahead := w.Ahead(); err == nil && len(ahead) > 0 {
		err = &starttls.InjectedError{From: starttls.ServerSide, Bytes: ahead}
	}
	if x.err = err; err != nil {
		return x
	}
	tap.Upgrade(nil)
	nc.SetDeadline(time.Now().Add(limit))
	x.tls, x.err = r.shake(ctx, w)
	took(&r.Milliseconds.Handshake)
	return x
}

// shake holds the handshake; who it is held with is looked at afterwards.
func (r *run) shake(ctx context.Context, w *starttls.Wire) (tls.ConnectionState, error) {
	info := r.target.Protocol.Info()
	cfg := &tls.Config{ServerName: r.options.Name, InsecureSkipVerify: true, MaxVersion: info.MaxVersion}
	if info.ALPNUpgraded {
		cfg.NextProtos = info.ALPN
	}
	nc := w.Conn()
	if h, ok := r.target.Protocol.(starttls.HandshakeWrapper); ok {
		nc, _ = h.WrapHandshake(nc)
	}
	tc := tls.Client(nc, cfg)
	err := tc.HandshakeContext(ctx)
	if err == nil {
		tc.Close()
	}
	return tc.ConnectionState(), err
}
