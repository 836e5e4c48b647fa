package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// service is a listener's configuration, made ready. It does not change: a new
// configuration is a new service, and sessions end under the one they began in.
type service struct {
	Listener
	p           starttls.Protocol
	info        starttls.Info
	certs       *certStore // nil where the gateway has no TLS of its own
	front       starttls.Config
	back        starttls.Config
	verifier    *verifier // nil: back says all
	proxyFrom   []netip.Prefix
	allow, deny []netip.Prefix
	passive     *portRange
	log         *slog.Logger
	hello       *helloCache
}

// newService checks l and makes it ready. It opens no socket.
func newService(l Listener, common []Certificate, log *slog.Logger) (s *service, err error) {
	s = &service{Listener: l}
	s.Limits = l.Limits.withDefaults()
	p, implicit, err := protocol.Lookup(l.Protocol)
	if err != nil {
		return nil, err
	}
	s.p, s.info = p, p.Info()
	s.Mode = or(l.Mode, "terminate")
	s.Name = or(l.Name, l.Protocol)
	s.log = log.With("listener", s.Name, "protocol", s.info.Name)
	if implicit {
		s.Accept = or(l.Accept, "implicit")
	}
	if len(l.Listen) == 0 {
		return nil, errors.New(`listen is missing: where do clients come? listen = [":587"]`)
	}
	if l.Backend.Address == "" {
		return nil, errors.New("backend.address is missing")
	}
	if s.Clear != "" && s.Mode != "guard" {
		return nil, errors.New("clear is for mode guard; in terminate it is tls that says what may pass in clear")
	}
	if err := s.networks(); err != nil {
		return nil, err
	}
	switch s.Mode {
	case "terminate":
		err = s.terminate(common)
	case "originate":
		err = s.originate()
	case "guard":
		err = s.guard()
	default:
		err = fmt.Errorf("mode is terminate, originate or guard, not %q", s.Mode)
	}
	return s, err
}

func (s *service) networks() (err error) {
	for _, n := range []struct {
		to   *[]netip.Prefix
		from []string
	}{{&s.proxyFrom, s.ProxyFrom}, {&s.allow, s.Allow}, {&s.deny, s.Deny}} {
		for _, text := range n.from {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				addr, err2 := netip.ParseAddr(text)
				if err2 != nil {
					return fmt.Errorf("%q is no network: 192.0.2.0/24", text)
				}
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
			*n.to = append(*n.to, prefix)
		}
	}
	s.passive, err = parsePortRange(s.PassivePorts)
	return err
}

// terminate makes TLS ready towards the clients.
func (s *service) terminate(common []Certificate) error {
	if u, ok := s.p.(starttls.Unspliceable); ok {
		return fmt.Errorf("TLS of %s can not be ended by a gateway: %s", s.info.Name, u.Unspliceable())
	}
	certs := s.Certificates
	if len(certs) == 0 {
		certs = common
	}
	var err error
	if s.certs, err = newCertStore(certs, s.log); err != nil {
		return err
	}
	if s.front, err = s.server(); err != nil {
		return err
	}
	if s.front.TLS, err = frontTLS(&s.Listener, s.info, s.certs); err != nil {
		return err
	}
	switch s.TLS {
	case "", "required":
		if s.SignIn != "" {
			return errors.New("sign_in is for tls = optional: nobody signs in without TLS")
		}
	case "optional":
		s.front.Offer.Mode = starttls.Optional
		s.hello = &helloCache{}
		if err := s.signIn(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("tls is required or optional, not %q", s.TLS)
	}
	switch s.Accept = or(s.Accept, "starttls"); s.Accept {
	case "starttls":
	case "implicit":
		s.front.Mode = starttls.Implicit
	case "both":
		if s.info.ServerFirst {
			return fmt.Errorf("accept = both is not possible with %s, whose server speaks first: nobody knows yet what the client wants", s.info.Name)
		}
	default:
		return fmt.Errorf("accept is starttls, implicit or both, not %q", s.Accept)
	}
	return s.backend(starttls.None)
}

// signIn refuses to leave open whether clients in clear may sign in, where they
// can not be kept from it.
func (s *service) signIn() error {
	switch s.SignIn = or(s.SignIn, "tls"); {
	case s.SignIn == "anywhere":
	case s.SignIn != "tls":
		return fmt.Errorf("sign_in is tls or anywhere, not %q", s.SignIn)
	case s.info.Role == starttls.Access && !s.info.HidesAuth:
		return fmt.Errorf("with tls = optional clients of %s could sign in in clear, which the gateway can not keep them from: sign_in = anywhere says that they may", s.info.Name)
	}
	return nil
}

// originate makes TLS ready towards the server.
func (s *service) originate() error {
	for _, addr := range s.Listen {
		if !isLocal(addr) && len(s.Allow) == 0 {
			return fmt.Errorf("%s takes clients in clear from everywhere: listen on loopback or a unix socket, or say whom to allow", addr)
		}
	}
	if s.TLS != "" || s.SignIn != "" || s.Accept == "implicit" || s.Accept == "both" || len(s.Certificates) > 0 || s.ClientCert != "" {
		return errors.New("tls, sign_in, accept, certificate and client_cert are for mode terminate: in originate clients are in clear")
	}
	var err error
	if s.front, err = s.server(); err != nil {
		return err
	}
	s.front.Mode = starttls.None
	return s.backend(starttls.Required)
}

// isLocal reports whether only this machine can connect to addr.
func isLocal(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // a path, or a socket of systemd's, which is systemd's to judge
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// server is the clients' side but for its TLS.
func (s *service) server() (c starttls.Config, err error) {
	c.ServerName = s.ServerName
	if c.ServerName == "" {
		if c.ServerName, err = os.Hostname(); err != nil {
			return c, err
		}
	}
	c.Bare, c.NoTranscript = true, true
	c.Limits = starttls.Limits{Line: s.Limits.Line, Lines: s.Limits.Commands, Bytes: s.Limits.Bytes, Errors: s.Limits.Refused, Packet: s.Limits.Bytes}
	c.Timeouts = starttls.Timeouts{Cleartext: s.Limits.Handshake, Handshake: s.Limits.Handshake}
	return c, nil
}

func (s *service) backend(def starttls.Mode) (err error) {
	b := &s.Backend
	modes := map[string]starttls.Mode{"": def, "none": starttls.None, "starttls": starttls.Required, "implicit": starttls.Implicit}
	mode, ok := modes[b.TLS]
	switch {
	case !ok:
		return fmt.Errorf("backend.tls is none, starttls or implicit, not %q", b.TLS)
	case mode == starttls.None && def == starttls.Required:
		return errors.New("backend.tls = none: mode originate is there to add TLS")
	case mode == starttls.None && (b.CA != "" || len(b.Pins) > 0 || b.Cert != "" || b.Verify != ""):
		return errors.New("backend.ca, pins, verify and cert are of no use with backend.tls = none")
	}
	if mode != starttls.None {
		if s.back.TLS, err = backTLS(b); err != nil {
			return err
		}
	}
	if s.verifier, err = newVerifier(b, s.info, s.Limits.Dial); err != nil {
		return err
	}
	switch b.Identify {
	case "", "proxy-v1", "proxy-v2":
	case "protocol":
		if _, ok := s.p.(starttls.Identifier); !ok {
			return fmt.Errorf("%s has no words for a client's address: use identify = proxy-v1 or proxy-v2", s.info.Name)
		}
	default:
		return fmt.Errorf("backend.identify is proxy-v1, proxy-v2 or protocol, not %q", b.Identify)
	}
	s.back.Mode, s.back.NoTranscript = mode, true
	s.back.ServerName = b.ServerName
	s.back.LocalName = s.front.ServerName
	s.back.Timeouts = starttls.Timeouts{Dial: s.Limits.Dial, Cleartext: s.Limits.Handshake, Handshake: s.Limits.Handshake}
	if mode == starttls.None && !isLocal(b.Address) {
		s.log.Warn("the backend is reached in clear over a network", "backend", b.Address)
	}
	return nil
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
}

func addrOf(a net.Addr) (netip.Addr, bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(t.IP)
	return ip.Unmap(), ok
}

// outgoing is how the backend is reached by one session, and the word for the
// level that it then has, "" being the connection's own.
func (s *service) outgoing(ctx context.Context) (cfg starttls.Config, level string, err error) {
	cfg = s.back
	if s.verifier != nil {
		ctx, cancel := context.WithTimeout(ctx, s.Limits.Dial)
		defer cancel()
		level, err = s.verifier.judge(ctx, s, &cfg)
	}
	if cfg.TLS != nil && s.info.Data {
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.ClientSessionCache = &ticket{}
	}
	return cfg, level, err
}

// nameIn is the server that cfg expects, as [starttls.Dial] has it.
func (s *service) nameIn(cfg *starttls.Config) string {
	host, _, err := net.SplitHostPort(s.Backend.Address)
	if err != nil {
		host = "localhost" // a unix socket
	}
	return or(or(cfg.ServerName, cfg.TLS.ServerName), strings.TrimSuffix(host, "."))
}

// dial opens a backend session for a client, or for nobody where that is nil.
// state is the client's TLS, if it has any.
func (s *service) dial(ctx context.Context, cfg starttls.Config, client, local net.Addr, state *tls.ConnectionState) (*starttls.Conn, *conn, error) {
	var below *conn
	cfg.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := s.reach(ctx, network, addr, client, local, state)
		if err != nil {
			return nil, err
		}
		below = newConn(nc)
		return below, nil
	}
	c, err := starttls.Dial(ctx, s.Backend.Address, s.p, &cfg)
	if err != nil || client == nil || s.Backend.Identify != "protocol" {
		return c, below, err
	}
	w := c.Wire(ctx)
	err = s.p.(starttls.Identifier).Identify(w, client, local)
	if ahead := w.Ahead(); err == nil && len(ahead) > 0 {
		err = &starttls.InjectedError{From: starttls.ServerSide, Bytes: ahead}
	}
	w.Release()
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, below, nil
}

// reach connects to the backend, and tells it of the client by the PROXY protocol
// if that is wanted.
func (s *service) reach(ctx context.Context, network, addr string, client, local net.Addr, state *tls.ConnectionState) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Limits.Dial)
	defer cancel()
	dialer := new(net.Dialer)
	if s.verifier != nil {
		dialer = &s.verifier.dialer
	}
	nc, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if version := map[string]byte{"proxy-v1": 1, "proxy-v2": 2}[s.Backend.Identify]; version > 0 {
		nc.SetDeadline(time.Now().Add(s.Limits.Dial))
		if err := writeProxy(nc, version, client, local, state); err != nil {
			nc.Close()
			return nil, err
		}
	}
	return nc, nil
}

// backendHello is what may be told to clients of what the backend said for
// itself. What it said in clear before TLS is nobody's word, and is not.
func (s *service) backendHello(c *starttls.Conn) starttls.Hello {
	switch {
	case c.TLS() == nil:
		return c.Before()
	case s.back.Mode == starttls.Implicit || s.info.SpeaksAfterTLS:
		return c.Inside()
	case s.info.BoundGreeting:
		return starttls.Hello{Greeting: c.Before().Greeting}
	}
	return starttls.Hello{}
}
