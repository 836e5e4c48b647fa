package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"example.org/starttls"
)

// guard makes a service ready that takes no part in its sessions.
func (s *service) guard() error {
	if s.TLS != "" || s.SignIn != "" || s.Accept != "" || len(s.Certificates) > 0 || s.MinTLS != "" || s.ClientCert != "" || s.ClientCA != "" || len(s.ClientNames) > 0 || s.PassivePorts != "" || s.PublicIP != "" {
		return errors.New("tls, sign_in, accept, certificate, min_tls, client_cert, client_ca, client_names, passive_ports and public_ip are for mode terminate: guard passes TLS on, between the client and the server, and has none")
	}
	if b := s.Backend; b.TLS != "" || b.ServerName != "" || b.CA != "" || len(b.Pins) > 0 || b.Cert != "" || b.Verify != "" || b.Resolver != "" || b.Domain != "" || b.Identify == "protocol" {
		return errors.New("backend.tls, server_name, ca, pins, verify, domain, resolver, cert and identify = protocol have no place in mode guard, which says nothing to the server")
	}
	switch s.Clear = or(s.Clear, "refuse"); s.Clear {
	case "refuse", "log":
	default:
		return fmt.Errorf("clear is refuse or log, not %q", s.Clear)
	}
	var err error
	if s.front, err = s.server(); err != nil {
		return err
	}
	return s.backend(starttls.None)
}

// seen is what a guard has seen of a session.
type seen struct {
	hello hello
	clear bool // it went on without TLS
}

var (
	errLeft   = errors.New("the client left before TLS")
	errClosed = errors.New("the server closed the connection before TLS")
)

var longAgo = time.Unix(1, 0)

// lookOn passes the cleartext phase on, and joins the two sides when they have
// agreed on TLS and the client has begun with it.
func (s *session) lookOn() error {
	network, start := "tcp", time.Now()
	if strings.HasPrefix(s.Backend.Address, "/") {
		network = "unix"
	}
	nc, err := s.reach(s.ctx, network, s.Backend.Address, s.client.client, s.client.local, nil)
	if err != nil {
		return &backendError{err}
	}
	s.known.dialled = time.Since(start)
	s.below = newConn(nc)
	deadline, _ := s.ctx.Deadline()
	s.below.SetDeadline(deadline)
	stop := context.AfterFunc(s.ctx, func() { s.client.SetDeadline(longAgo); s.below.SetDeadline(longAgo) })
	defer stop()
	v := &voice{session: s, done: make(chan struct{})}
	go v.run()
	err = s.clearPhase(v)
	v.stop()
	if err != nil && s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errHandshakeTime
	}
	return err
}

// clearPhase ends with an error, or with a relay made ready.
func (s *session) clearPhase(v *voice) error {
	c := s.watch(func(b []byte) error { _, err := s.below.Write(b); return err })
	out, err := s.p.Server(c.wire, starttls.Hello{}, starttls.Offer{Mode: starttls.Optional})
	taken, ahead := c.taken(), c.wire.Ahead()
	c.wire.Release()
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	var limit *starttls.LimitError
	refused := errors.As(err, new(*starttls.ReplyError)) || errors.As(err, &limit) && limit.What == "refused commands"
	switch {
	case v.failed() != nil:
		return v.failed()
	case errors.Is(err, starttls.ErrNotUpgraded):
		if err := s.leave(c, taken, v); err != nil {
			return err
		}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
	case err != nil && !refused:
		return err
	}
	left := err != nil && !refused
	if err := v.stop(); err != nil && !left {
		return err
	}
	offered, known := s.offered(v.heard)
	if known {
		s.g.sawOffer(s, offered)
	}
	if left {
		return errLeft
	}
	if !out.TLS || err != nil {
		return s.inClear(c)
	}
	if _, wraps := s.p.(starttls.HandshakeWrapper); len(ahead) > 0 && (wraps || ahead[0] != recordHandshake || len(ahead) > 1 && ahead[1] != 3) {
		return &starttls.InjectedError{From: starttls.ClientSide, Bytes: ahead}
	}
	if err := c.release(taken); err != nil {
		return &backendError{err}
	}
	return s.agree(c, ahead, offered)
}

// agree waits for the server's consent and for the client's TLS. Where nothing is
// said in consent (MySQL, NATS) the offer stands for it.
func (s *session) agree(c *watched, ahead []byte, offered bool) error {
	answer, err := s.consent(c.goAhead, s.below)
	refused := errors.As(err, new(*starttls.RefusedError)) || len(answer) == 0 && !offered && err == nil
	if err != nil && !refused {
		if !errors.As(err, new(*starttls.InjectedError)) {
			err = &backendError{err}
		}
		return err
	}
	if len(answer) > 0 {
		s.g.sawOffer(s, !refused)
	}
	if _, err := s.client.Write(answer); err != nil {
		return err
	}
	if refused && s.Clear == "log" {
		return s.inClear(c)
	}
	if refused {
		return &backendError{cmp.Or(err, starttls.ErrNotOffered)}
	}
	s.known.times.Cleartext = time.Since(s.began)
	return s.switchOver(ahead)
}

// switchOver sees the handshake begin on both sides. From there on nobody looks.
func (s *session) switchOver(ahead []byte) error {
	start := time.Now()
	from := &kept{Conn: s.client, from: io.MultiReader(bytes.NewReader(ahead), s.client)}
	h, err := readHello(records(s.p, from))
	if err != nil {
		return err
	}
	s.known.seen.hello = h
	deadline, _ := s.ctx.Deadline()
	if early := s.below.waiting(deadline); len(early) > 0 {
		return &starttls.InjectedError{From: starttls.ServerSide, Bytes: early}
	}
	if _, err := s.below.Write(from.read); err != nil {
		return &backendError{err}
	}
	back := &kept{Conn: s.below, from: s.below}
	if _, err := recordHead(records(s.p, back), starttls.ServerSide, recordHandshake, recordAlert); err != nil {
		return &backendError{err}
	}
	if _, err := s.client.Write(back.read); err != nil {
		return err
	}
	s.known.times.Handshake = time.Since(start)
	s.joinSockets()
	return nil
}

// inClear is about a session that goes on without TLS.
func (s *session) inClear(c *watched) error {
	if s.Clear == "refuse" {
		s.client.Write(s.refusal(c))
		return fmt.Errorf("%w, and would go on in clear", starttls.ErrNotUpgraded)
	}
	s.known.seen.clear = true
	s.log.Warn("a session goes on in clear", "client", s.client.client.String())
	if err := c.release(len(c.said)); err != nil {
		return &backendError{err}
	}
	s.joinSockets()
	return nil
}

// leave lets a client go that has taken its leave, or has refused TLS: it hears
// what the server has to say to that, and is heard no more.
func (s *session) leave(c *watched, taken int, v *voice) error {
	if err := c.release(taken); err != nil {
		return &backendError{err}
	}
	s.below.CloseWrite()
	s.below.SetReadDeadline(time.Now().Add(leaveTime))
	<-v.done
	return nil
}

// leaveTime is how long a server has for its last words.
const leaveTime = 5 * time.Second

// voice passes on what the server says in clear, until it is stopped.
type voice struct {
	*session
	heard    []byte
	err      error
	stopping atomic.Bool
	done     chan struct{}
}

func (v *voice) run() {
	defer close(v.done)
	buf := make([]byte, 4<<10)
	for {
		n, err := v.below.Read(buf)
		v.heard = append(v.heard, buf[:n]...)
		if len(v.heard) > v.Limits.Bytes {
			err = &starttls.LimitError{What: "bytes", Limit: v.Limits.Bytes}
		} else if n > 0 {
			if _, werr := v.client.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && v.stopping.Load() {
			return
		}
		if errors.Is(err, io.EOF) {
			err = errClosed
		}
		if err != nil {
			v.err = &backendError{err}
			v.client.SetReadDeadline(longAgo) // nobody need wait for the client
			return
		}
	}
}

// failed is why the server is not heard any more.
func (v *voice) failed() error {
	select {
	case <-v.done:
		return v.err
	default:
		return nil
	}
}

// stop returns when what is said next is nobody's but the caller's. It may be
// called again.
func (v *voice) stop() error {
	if !v.stopping.Swap(true) {
		v.below.SetReadDeadline(longAgo)
		<-v.done
		deadline, _ := v.ctx.Deadline()
		v.below.SetReadDeadline(deadline)
		if v.ctx.Err() != nil {
			return context.Cause(v.ctx)
		}
	}
	return v.failed()
}

// sawOffer notes whether the server of s offers TLS, and tells if that is not
// what it did before: somebody on the way may be taking the offer out.
func (g *Gateway) sawOffer(s *session, offered bool) {
	key := s.info.Name + " " + s.Backend.Address
	g.mu.Lock()
	before, known := g.offers[key]
	g.offers[key] = offered
	g.mu.Unlock()
	g.metrics.offer(s.Name, offered, known && before != offered)
	switch {
	case !known || before == offered:
	case offered:
		s.log.Warn("the server offers TLS, which it did not before", "backend", s.Backend.Address)
	default:
		s.log.Warn("the server does not offer TLS any more", "backend", s.Backend.Address)
	}
}
