package lab

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"example.org/starttls"
)

// Middle stands between clients and a real server and tells them one lie; for
// the rest it passes on what both say.
type Middle struct {
	Addr    string // where it listens
	RootPEM []byte // of the authority that its certificates come from

	stall *stall
}

// MiddleOptions say where a Middle stands.
type MiddleOptions struct {
	Protocol starttls.Protocol
	Listen   string // address and port
	Server   string // address and port of the real server
	Case     string
	Config   *starttls.Config // how the real server is reached
	Expect   Expect
	Limits   Limits
	OnResult func(Result) // told of each connection as it ends; may be nil
}

// Between starts a Middle. Close it. The real server is reached inside TLS, as
// o.Config asks, whatever the client is told.
func Between(ctx context.Context, o MiddleOptions) (*Middle, error) {
	c, err := Lookup(o.Case)
	if err != nil {
		return nil, err
	}
	c, why := c.of(o.Protocol, "")
	if why != "" {
		return nil, errors.New(o.Protocol.Info().Name + " does not have this case: " + why)
	}
	host, _, err := net.SplitHostPort(o.Server)
	if err != nil {
		return nil, err
	}
	k, err := newPKI(host, hostName, "127.0.0.1", "::1")
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, err
	}
	limits := o.Limits.withDefaults()
	if o.Limits.Connection == 0 {
		limits.Connection, limits.Idle = time.Hour, 10*time.Minute // people and their programs, not tests
	}
	var list []string
	if c.lies[len(c.lies)-1].mode != starttls.Grant {
		list = listedInside(ctx, o)
	}
	told := &Lab{options: Options{OnResult: o.OnResult, Expect: o.Expect}}
	s := newStall(ctx, tcp, func(_ net.Conn, _ lie) *session {
		return &session{rehearsal: rehearse(o.Protocol), pki: k, limits: limits, lie: c.lies[len(c.lies)-1], behind: &backend{ctx: ctx, options: o, list: list}}
	}, limits.Linger)
	s.ended = func(one *session, got gained) { told.tell(o.Protocol, c, one, got) }
	return &Middle{Addr: tcp.Addr().String(), RootPEM: k.trusted.PEM(), stall: s}, nil
}

// Close ends it and its connections.
func (m *Middle) Close() {
	m.stall.cancel()
	m.stall.close()
}

// backend is the real server behind a session.
type backend struct {
	ctx     context.Context
	options MiddleOptions
	list    []string // what the server lists inside TLS; nil: not known, or what it says in clear will do
	conn    *starttls.Conn
}

// listedInside asks the server, on a connection of its own and not for long, what
// it lists inside TLS: in clear it may say that nobody signs in, which a client
// would heed.
func listedInside(ctx context.Context, o MiddleOptions) []string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := starttls.Dial(ctx, o.Server, o.Protocol, o.Config)
	if err != nil {
		return nil
	}
	defer c.Close()
	h, err := c.Probe(ctx)
	if err != nil {
		return nil
	}
	return h.Caps
}

// open reaches the server, for one session.
func (b *backend) open() (err error) {
	b.conn, err = starttls.Dial(b.ctx, b.options.Server, b.options.Protocol, b.options.Config)
	return err
}

// before is what the server said of itself, with ways to sign in added to it:
// those that it has inside TLS, where the client is kept from that.
func (b *backend) before(h starttls.Hello) starttls.Hello {
	theirs := b.conn.Before()
	if len(theirs.Caps) > 0 && b.list != nil {
		theirs.Caps = b.list
	}
	h.Greeting, h.Caps, h.Software = theirs.Greeting, theirs.Caps, theirs.Software
	if theirs.Caps != nil && b.options.Protocol.Info().SpeaksAfterTLS || len(theirs.Caps) > 0 && b.listedInGreeting() {
		h.Greeting = nil // it holds the list, which is ours to tell
	}
	return h
}

// listedInGreeting reports whether the greeting tells the capabilities.
func (b *backend) listedInGreeting() bool {
	return rehearse(b.options.Protocol).turn == 1
}

// splice passes on what both sides say, and lets a session of the lab's own
// listen to the client, for what it gives away.
func (b *backend) splice(w *starttls.Wire, p starttls.Protocol, hello starttls.Hello, tls bool, sink starttls.Sink) error {
	nc := w.Conn()
	overheard, feed := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer io.Copy(io.Discard, overheard)
		h, ok := p.(starttls.Host)
		if !ok {
			return
		}
		cfg := starttls.WireConfig{Side: starttls.ServerSide, TLS: tls, Upgraded: tls, NoTranscript: true}
		listening := starttls.NewWire(b.ctx, script{overheard}, cfg)
		defer listening.Release()
		h.Serve(listening, hello, sink)
	})
	wg.Go(func() {
		io.Copy(nc, b.conn)
		nc.Close()
	})
	_, err := io.Copy(b.conn, io.TeeReader(nc, feed))
	feed.Close()
	b.conn.Close()
	wg.Wait()
	return err
}
