package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
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

// gained is what a session had of its client.
type gained struct {
	bytes    int    // that the client sent at all
	asked    bool   // it asked for TLS
	upgraded bool   // the handshake ended well
	inside   int    // messages that the client sent inside TLS
	leaks    []Leak // in the order they came
	further  int    // messages said in clear after the lie, and no leaks
	believed string // what it took from cleartext into TLS, in words
	stale    string // by what it learned in clear it went inside TLS, in words
	late     bool   // it went on inside TLS before its first answer came
	signedIn bool   // inside TLS that was sound
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

// leak notes what the client gave away.
func (s *session) leak(l starttls.Leak, tls bool) {
	if s.onUser != nil && l.User != "" {
		s.onUser(l.User)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lie.reject != nil && tls && l.What == "sign-in" {
		if why := s.lie.reject(l.Mechanism); why != "" {
			s.got.stale = why
		}
	}
	if tls && !s.lie.refusable {
		s.got.signedIn = s.got.signedIn || l.What == "sign-in" || l.What == "content"
		return
	}
	s.got.leaks = append(s.got.leaks, newLeak(l, tls))
}

// keep adds a wire's transcript, with what c has said in the place of what it was
// given to say.
func (s *session) keep(t starttls.Transcript, c *liar) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range t {
		if e.From == starttls.ServerSide {
			n++
			if instead, ok := c.instead[n]; ok {
				e.Data = instead
			}
		}
		s.transcript = append(s.transcript, e)
	}
}

// say puts a remark of the lab's own into the transcript.
func (s *session) say(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transcript = append(s.transcript, starttls.Entry{Time: time.Now().UTC(), From: starttls.ServerSide, TLS: true, Data: []byte("(" + what + ")")})
}

func (s *session) result() gained {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
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

// liar is a connection that says something else than what it is given to say,
// and listens for what must not be heard.
type liar struct {
	net.Conn
	session  *session
	tls      bool
	honest   bool // what is written now is settled elsewhere
	withhold bool // the first answer

	mu      sync.Mutex
	history []byte
	heard   []byte // since the last write
	reads   int
	writes  int
	wentOn  bool // while the answer was withheld
	ahead   []byte

	instead map[int][]byte // what was said in the place of the n-th message
}

const (
	mostHeard = 64 << 10 // bytes kept of a client's message
	mostShown = 1024     // bytes shown of a server's
)

func (c *liar) Read(b []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(b, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	c.await(c.session.limits.Idle)
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.note(b[:n])
	}
	return n, err
}

func newLiar(s *session, nc net.Conn, tls bool) *liar {
	return &liar{Conn: nc, session: s, tls: tls, instead: map[int][]byte{}}
}

// await bounds the next read, within the time that the connection has.
func (c *liar) await(d time.Duration) {
	at := time.Now().Add(d)
	if at.After(c.session.deadline) {
		at = c.session.deadline
	}
	c.Conn.SetReadDeadline(at)
}

func (c *liar) note(b []byte) {
	c.mu.Lock()
	c.reads++
	if len(c.history) < mostHeard {
		c.heard, c.history = append(c.heard, b...), append(c.history, b...)
	}
	heard := c.heard
	c.mu.Unlock()
	c.session.overhear(b, heard, c.tls)
}

func (c *liar) messages() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}

func (c *liar) request(consent []byte) request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return request{bytes.Clone(c.history), bytes.Clone(c.heard), consent}
}

func (c *liar) Write(b []byte) (int, error) {
	c.mu.Lock()
	heard := c.heard
	c.heard = nil
	c.writes++
	turn := c.writes
	c.mu.Unlock()
	if c.withhold && (len(heard) > 0 || c.session.protocol.Info().SpeaksAfterTLS) {
		c.withhold = false
		c.wait()
	}
	out := b
	if c.session.lie.reply != nil && !c.honest {
		out = c.session.lie.reply(c.session.rehearsal, said{c.tls, turn, heard, b})
		if !bytes.Equal(out, b) {
			c.instead[turn] = out[:min(len(out), mostShown)]
		}
	}
	for len(out) > 0 {
		n := min(len(out), 16<<10)
		if _, err := c.Conn.Write(out[:n]); err != nil {
			return 0, err
		}
		out = out[n:]
	}
	return len(b), nil
}

// wait keeps the first answer inside TLS back, and hears whether the client goes
// on without it.
func (c *liar) wait() {
	c.await(c.session.limits.Withhold)
	var b [4096]byte
	n, _ := c.Conn.Read(b[:])
	if n > 0 {
		c.wentOn = true
		c.note(b[:n])
		c.ahead = append(c.ahead, b[:n]...)
	}
}

// overhear looks for what the client gives away in words that no session
// understands, and for what it can only know from a lie.
func (s *session) overhear(b, heard []byte, tls bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got.bytes += len(b)
	if tls {
		s.got.inside++
	}
	for _, word := range s.lie.tells {
		if tls && bytes.Contains(heard, []byte(word)) {
			s.got.believed = "it said " + word + " inside TLS"
		}
	}
	if tls && !s.lie.refusable {
		return
	}
	if secret := s.bait.in(heard); secret && !slices.ContainsFunc(s.got.leaks, func(l Leak) bool { return l.TLS == tls && l.What == "sign-in" }) {
		l := newLeak(starttls.Leak{What: "sign-in", Mechanism: "seen on the wire", User: s.bait.User, Secret: []byte(s.bait.Password)}, tls)
		s.got.leaks = append(s.got.leaks, l)
	}
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
