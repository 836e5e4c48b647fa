package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"example.org/starttls"
)

// session is one connection of a client to a server that lies.
type session struct {
	*rehearsal
	lie    lie
	pki    *pki
	limits Limits
	bait   Bait

	behind *backend                      // whose session it is, where there is a server behind; nil: the lab's own
	onUser func(user string)             // told of sign-ins; may be nil
	bySNI  func(name string) (lie, bool) // has a lie for a name asked for; may be nil

	deadline time.Time // of the connection

	mu         sync.Mutex
	transcript starttls.Transcript
	got        gained
}

// serve speaks with one client and closes nc.
func (s *session) serve(ctx context.Context, nc net.Conn) gained {
	defer nc.Close()
	if s.lie.patience > 0 {
		s.limits.Connection = s.lie.patience
	}
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	s.deadline = time.Now().Add(s.limits.Connection)
	nc.SetDeadline(s.deadline)
	if s.behind != nil {
		if err := s.behind.open(); err != nil {
			s.say("the server behind: " + err.Error())
			return s.result()
		}
		defer s.behind.conn.Close()
	}
	clear := newLiar(s, nc, false)
	cfg := s.wireConfig()
	cfg.OnGoAhead = func(msg []byte) []starttls.Segment {
		s.got.asked = true
		clear.honest = true // its words are settled here
		if s.lie.goAhead == nil {
			return []starttls.Segment{{Data: msg}}
		}
		return s.lie.goAhead(s.rehearsal, clear.request(msg))
	}
	w := starttls.NewWire(ctx, clear, cfg)
	if s.lie.open != nil {
		w.Write(s.lie.open(s.rehearsal))
	}
	hello := s.introduction()
	out, err := s.protocol.Server(w, hello, s.offer())
	clear.honest = false
	switch {
	case err != nil:
		w.Release()
	case out.TLS && s.lie.hangUp:
		w.Release()
	case out.TLS && s.leaves(w):
		w.Release()
	case out.TLS && s.startsTLS(w):
		s.keep(w.Transcript(), clear)
		ahead := w.Ahead()
		w.Release()
		s.inside(ctx, &resumed{nc, ahead}, hello)
		return s.result()
	default:
		s.inClear(w, clear, hello)
	}
	s.keep(w.Transcript(), clear)
	return s.result()
}

// leaves reports whether the client says nothing more once its request was
// answered.
func (s *session) leaves(w *starttls.Wire) bool {
	_, err := w.Peek(1)
	return err != nil
}

// startsTLS looks what it says: a TLS record, or something in clear. Where the
// handshake is carried in packets, the record is behind the head of one.
func (s *session) startsTLS(w *starttls.Wire) bool {
	n := 2
	if _, ok := s.protocol.(starttls.HandshakeWrapper); ok {
		n = 16
	}
	head, err := w.Peek(n)
	return err == nil && bytes.Contains(head, []byte{0x16, 3})
}

func (s *session) wireConfig() starttls.WireConfig {
	return starttls.WireConfig{Side: starttls.ServerSide, ServerName: s.pki.names[0]}
}

func (s *session) offer() starttls.Offer {
	o := starttls.Offer{Mode: s.lie.mode}
	if s.lie.keyword != nil {
		o.Keyword = s.lie.keyword(s.keyword)
	}
	return o
}

// introduction is what the server says of itself before TLS: signing in is
// offered in clear, as inside TLS, unless the lie is another.
func (s *session) introduction() starttls.Hello {
	h := starttls.Hello{Auth: s.hello.Auth}
	if s.behind != nil {
		h = s.behind.before(h)
	}
	if s.lie.hello != nil {
		s.lie.hello(&h)
	}
	return h
}

// inClear serves a client that goes on without TLS.
func (s *session) inClear(w *starttls.Wire, clear *liar, hello starttls.Hello) {
	defer w.Release()
	before := clear.messages()
	err := s.host(w, hello, false)
	n := clear.messages() - before
	if err == nil {
		n-- // its goodbye
	}
	if before == 0 && !s.protocol.Info().ServerFirst {
		n-- // what it had to say to hear anything
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got.further = max(n, 0)
}

// inside serves a client inside TLS.
func (s *session) inside(ctx context.Context, nc net.Conn, hello starttls.Hello) {
	wrapped, unwrap := nc, func() {}
	if h, ok := s.protocol.(starttls.HandshakeWrapper); ok {
		wrapped, unwrap = h.WrapHandshake(nc)
	}
	if s.lie.shake != nil {
		if err := s.lie.shake(s, wrapped); err != nil {
			return
		}
	}
	cfg, err := s.certificate()
	if err != nil {
		return
	}
	nc.SetReadDeadline(s.deadline)
	tc := tls.Server(wrapped, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		s.say("the client ended the handshake: " + err.Error())
		var rec tls.RecordHeaderError
		if !errors.As(err, &rec) && !errors.Is(err, io.EOF) {
			s.onInClear(ctx, nc)
		}
		return
	}
	unwrap()
	s.mu.Lock()
	s.got.upgraded = true
	s.mu.Unlock()
	wcfg := s.wireConfig()
	wcfg.TLS, wcfg.Upgraded = true, true
	liar := newLiar(s, tc, true)
	liar.withhold = s.lie.withhold
	w := starttls.NewWire(ctx, liar, wcfg)
	defer func() { s.keep(w.Transcript(), liar); w.Release() }()
	hello = starttls.Hello{}
	if s.behind != nil {
		hello = s.behind.conn.Inside()
	}
	if s.lie.helloInside != nil {
		s.lie.helloInside(&hello)
	}
	if s.protocol.Info().SpeaksAfterTLS {
		if _, err := s.protocol.Server(w, hello, starttls.Offer{Mode: starttls.NoOffer}); err != nil {
			return
		}
	}
	if s.lie.closeTLS {
		s.downgrade(liar, tc, nc)
		return
	}
	s.host(w, hello, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if liar.wentOn {
		s.got.late = true
	}
}

// host serves the session proper: the lab's own, or that of the server behind.
func (s *session) host(w *starttls.Wire, hello starttls.Hello, tls bool) error {
	sink := func(l starttls.Leak) { s.leak(l, tls) }
	if s.behind != nil {
		return s.behind.splice(w, s.protocol, hello, tls, sink)
	}
	if h, ok := s.protocol.(starttls.Host); ok {
		return h.Serve(w, hello, sink)
	}
	_, err := io.Copy(io.Discard, w.Conn())
	return err
}

func (s *session) certificate() (*tls.Config, error) {
	certificate := s.lie.tls
	if certificate == nil {
		certificate = (*pki).good
	}
	cfg, err := certificate(s.pki)
	if i := s.protocol.Info(); i.ALPNUpgraded {
		cfg.NextProtos = i.ALPN
	}
	if err == nil && s.bySNI != nil {
		cfg.GetConfigForClient = s.named
	}
	return cfg, err
}

// named is the configuration for a client that asks for the name of a case.
func (s *session) named(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	told, ok := s.bySNI(hello.ServerName)
	if !ok || told.tls == nil {
		return nil, nil
	}
	s.mu.Lock()
	s.lie.refusable = told.refusable
	s.mu.Unlock()
	return told.tls(s.pki)
}

// downgrade takes TLS away after the client's first words inside it, and goes
// on in clear as if nothing had been.
func (s *session) downgrade(inside *liar, tc *tls.Conn, nc net.Conn) {
	inside.wait()
	tc.CloseWrite()
	s.say("TLS is closed")
	s.onInClear(context.Background(), nc)
}

// resumed is a connection of which some bytes were read before.
type resumed struct {
	net.Conn
	ahead []byte
}

func (c *resumed) Read(b []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.ahead)
	c.ahead = c.ahead[n:]
	return n, nil
}

// insteadOfHandshake reads the ClientHello, says b, and hears whether the client
// goes on in clear.
func (s *session) insteadOfHandshake(nc net.Conn, b []byte) error {
	hello := make([]byte, 16<<10)
	if _, err := nc.Read(hello); err != nil {
		return err
	}
	if _, err := nc.Write(b); err != nil {
		return err
	}
	s.say("in the place of the handshake: " + starttls.Quote(b))
	s.onInClear(context.Background(), nc)
	return errInstead
}

var errInstead = errors.New("no handshake was held")

// onInClear serves a client that says something in clear where TLS failed.
func (s *session) onInClear(ctx context.Context, nc net.Conn) {
	clear := newLiar(s, nc, false)
	w := starttls.NewWire(ctx, clear, s.wireConfig())
	if head, err := w.Peek(1); err != nil || head[0] >= 0x14 && head[0] <= 0x17 { // an alert, most likely
		w.Release()
		return
	}
	s.inClear(w, clear, s.introduction())
	s.keep(w.Transcript(), clear)
}

// breakOff reads the ClientHello, says b, and closes.
func (s *session) breakOff(nc net.Conn, b []byte) error {
	hello := make([]byte, 16<<10)
	if _, err := nc.Read(hello); err != nil {
		return err
	}
	nc.Write(b)
	return errInstead
}
