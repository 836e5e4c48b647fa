package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"example.org/starttls"
)

// session is one client's, from its connection to its end.
type session struct {
	*service
	g       *Gateway
	count   *counter
	client  *conn
	address netip.Addr // that it is counted for; not valid before that is known
	began   time.Time
	ctx     context.Context
	timeout context.CancelFunc // ends ctx, which bounds all that comes before the relay
	settled bool               // it is no longer counted among those before TLS

	front, back *starttls.Conn   // until the two are joined
	later       *starttls.Config // how back comes to TLS when the client has spoken; nil: it does not
	below       *conn            // the backend's connection, below its TLS
	known       facts
	data        dataPorts
	relay       atomic.Pointer[relay]
}

// facts are what is told of a session when it is over.
type facts struct {
	client, backend *tls.Conn // nil: in clear
	times           starttls.Timings
	seen            seen // in mode guard
	dialled         time.Duration
	level           string // of the backend's connection
}

var (
	errHandshakeTime = errors.New("no TLS session within the time for that")
	errDenied        = errors.New("this address may not connect")
)

// serve brings a client and a backend together. It returns as soon as they are
// joined, or when that has failed.
func (s *session) serve() {
	err := s.identify()
	switch {
	case err != nil:
	case s.Mode == "guard":
		err = s.lookOn()
	default:
		err = s.join()
	}
	s.timeout()
	if err == nil {
		s.front, s.back, s.later, s.ctx, s.timeout = nil, nil, nil, s.g.base, nil
		s.g.joined(s)
		s.relay.Load().start(func() { s.g.ended(s, nil) })
		return
	}
	s.g.metrics.injected(s, err)
	s.close()
	s.g.ended(s, err)
}

// identify finds out who the client is, and whether it may connect.
func (s *session) identify() error {
	deadline, _ := s.ctx.Deadline()
	s.client.SetDeadline(deadline)
	if from, ok := addrOf(s.client.client); ok && within(s.proxyFrom, from) {
		if err := readProxy(s.client); err != nil {
			return err
		}
	}
	ip, ok := addrOf(s.client.client)
	if !ok { // a unix socket
		return nil
	}
	if within(s.deny, ip) || len(s.allow) > 0 && !within(s.allow, ip) {
		return errDenied
	}
	s.address = network64(ip)
	return s.count.from(s.address, s.Limits)
}

// close ends all connections. Those of a relay it has closed itself.
func (s *session) close() {
	if s.front != nil {
		s.front.Close()
	}
	if s.back != nil {
		s.back.Close()
	}
	s.client.Close()
	if s.below != nil { // a guard has nothing above it
		s.below.Close()
	}
	s.data.close()
}

// join brings both sides to the resume point, in the order that never lets a
// byte from before TLS reach the backend: its session begins after the
// handshake. Where its greeting binds the sign-in it is dialled before, and read
// from, but not written to.
func (s *session) join() error {
	cfg := s.service.front
	if err := s.detect(&cfg); err != nil {
		return err
	}
	if s.info.BoundGreeting {
		if err := s.open(nil); err != nil {
			s.apologize()
			return err
		}
		cfg.Hello = s.backendHello(s.back)
	} else if s.hello != nil {
		cfg.Hello = s.hello.get(s.ctx, s.service)
	}
	if err := s.accept(&cfg); err != nil {
		return err
	}
	if s.back == nil {
		if err := s.open(s.front.TLS()); err != nil {
			s.apologize()
			return err
		}
	}
	return s.splice(&cfg)
}

// detect looks at the first byte where either form of TLS may come.
func (s *session) detect(cfg *starttls.Config) error {
	if s.Accept != "both" {
		return nil
	}
	first, err := s.client.peek()
	if err == nil && first == 0x16 {
		cfg.Mode = starttls.Implicit
	}
	return err
}

func (s *session) accept(cfg *starttls.Config) error {
	c, err := starttls.Server(s.ctx, s.client, s.p, cfg)
	if s.front = c; err == nil {
		s.known.client, s.known.times = c.TLS(), c.Timings()
	}
	return err
}

func (s *session) open(client *tls.Conn) (err error) {
	var state *tls.ConnectionState
	if client != nil {
		cs := client.ConnectionState()
		state = &cs
	}
	start := time.Now()
	cfg, level, err := s.outgoing(s.ctx)
	if _, bound := s.p.(starttls.RequestBound); bound && cfg.Mode == starttls.Required {
		later := cfg
		s.later, cfg.Mode = &later, starttls.None
	}
	if err == nil {
		s.back, s.below, err = s.dial(s.ctx, cfg, s.client.client, s.client.local, state)
	}
	s.known.dialled = time.Since(start)
	if err == nil && s.later != nil && !s.back.Before().Offered {
		err = starttls.ErrNotOffered
	}
	if err != nil {
		return &backendError{err}
	}
	s.known.backend, s.known.level = s.back.TLS(), level
	if s.later == nil {
		s.known.level = or(level, s.back.Level().String())
	}
	if s.info.Data && s.back.TLS() != nil {
		s.data.tls = cfg.TLS.Clone()
		s.data.tls.ServerName = s.nameIn(&cfg)
	}
	return nil
}

// apologize says in the protocol's words that there is no service now.
func (s *session) apologize() {
	a, ok := s.p.(starttls.Apologizer)
	if !ok {
		return
	}
	var nc net.Conn = s.client
	if s.front != nil {
		nc = s.front
	} else if s.service.front.Mode == starttls.Implicit {
		return // nothing may be said before TLS
	}
	nc.SetDeadline(time.Now().Add(time.Second))
	nc.Write(a.Unavailable())
}

// splice lets the protocol see to what is odd about it, greets the client if it
// waits for that, and joins the two.
func (s *session) splice(cfg *starttls.Config) error {
	deadline, _ := s.ctx.Deadline()
	s.front.SetDeadline(deadline)
	s.back.SetDeadline(deadline)
	cw := s.front.Wire(s.ctx)
	defer cw.Release()
	// The greeting is due where TLS came first, or none comes at all. A client in
	// clear that has said its first command has had it.
	greet := cfg.Mode == starttls.Implicit || cfg.Mode == starttls.None || s.front.TLS() != nil && s.info.SpeaksAfterTLS
	if s.later != nil {
		if err := s.ask(cw, greet); err != nil {
			return err
		}
		greet = false
	}
	bw := s.back.Wire(s.ctx)
	defer bw.Release()
	x := &starttls.Splice{Client: cw, Backend: bw, Hello: s.backendHello(s.back), Outcome: s.front.Outcome(), Data: s.openData,
		HideAuth: s.front.TLS() == nil && s.SignIn == "tls"}
	r := &relay{idle: s.Limits.Idle, linger: lingerTime}
	if p, ok := s.p.(starttls.Splicer); ok {
		var err error
		if r.toBackend, r.toClient, err = p.Splice(x); err != nil {
			return &backendError{err}
		}
	}
	if greet {
		if _, err := s.p.Server(cw, x.Hello, starttls.Offer{Mode: starttls.NoOffer}); err != nil {
			return err
		}
	}
	r.client, r.backend = sideOf(s.front, s.client, cw), sideOf(s.back, s.below, bw)
	s.relay.Store(r)
	s.front.SetDeadline(time.Time{})
	return s.back.SetDeadline(time.Time{})
}

// ask brings the backend to TLS by a request that holds what the client says
// first. The backend's greeting has been read; the protocol's half reads it anew.
func (s *session) ask(client *starttls.Wire, greet bool) error {
	before := s.back.Before()
	if greet {
		if _, err := s.p.Server(client, s.backendHello(s.back), starttls.Offer{Mode: starttls.NoOffer}); err != nil {
			return err
		}
	}
	request, apology, err := s.p.(starttls.RequestBound).Request(client)
	if err == nil {
		s.later.ServerName = s.nameIn(s.later)
		s.later.OnAsk = func([]byte) []starttls.Segment { return []starttls.Segment{{Data: request}} }
		var back *starttls.Conn
		if back, err = starttls.Client(s.ctx, &greeted{Conn: s.back, greeting: before.Greeting}, s.p, s.later); err == nil {
			s.back, s.known.backend = back, back.TLS()
			s.known.level = or(s.known.level, back.Level().String())
			return nil
		}
		err = &backendError{err}
	}
	client.Write(apology)
	return err
}

// greeted is a connection whose greeting is read once more.
type greeted struct {
	net.Conn
	greeting []byte
}

func (c *greeted) Read(b []byte) (int, error) {
	if len(c.greeting) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.greeting)
	c.greeting = c.greeting[n:]
	return n, nil
}

// lingerTime is how long the second side may stay silent when the first has
// nothing more to say.
const lingerTime = 30 * time.Second
