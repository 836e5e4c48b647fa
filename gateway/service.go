package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

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
	p, implicit, err := l.spoken()
	if err != nil {
		return nil, err
	}
	s.p, s.info = p, p.Info()
	s.Mode = or(l.Mode, "terminate")
	s.Name = cmp.Or(l.Name, l.Protocol, s.info.Name)
	s.log = log.With("listener", s.Name, "protocol", s.info.Name)
	if implicit {
		s.Accept = or(l.Accept, "implicit")
	}
	if err := cmp.Or(s.addresses(), l.Limits.check()); err != nil {
		return nil, err
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

// spoken is the listener's protocol, by its name or as a file describes it.
func (l *Listener) spoken() (p starttls.Protocol, implicit bool, err error) {
	if l.Dialogue == "" {
		return protocol.Lookup(l.Protocol)
	}
	if l.Protocol != "" {
		return nil, false, errors.New("protocol and dialogue both say what is spoken")
	}
	f, err := os.Open(l.Dialogue)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	if p, err = protocol.ParseDialogue(f); err != nil {
		return nil, false, fmt.Errorf("dialogue %s: %w", l.Dialogue, err)
	}
	// The server's half, which a file need not have, is needed in every mode.
	w := starttls.NewWire(context.Background(), &script{Reader: strings.NewReader("")}, starttls.WireConfig{Side: starttls.ServerSide, NoTranscript: true})
	defer w.Release()
	if _, err := p.Server(w, starttls.Hello{}, starttls.Offer{Mode: starttls.NoOffer}); err != nil {
		return nil, false, fmt.Errorf("dialogue %s: %w", l.Dialogue, err)
	}
	return p, false, nil
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
		if s.Accept == "implicit" {
			return errors.New("accept = implicit begins with TLS: nothing of it is optional")
		}
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
	if s.TLS != "" || s.SignIn != "" || s.Accept == "implicit" || s.Accept == "both" || len(s.Certificates) > 0 || s.MinTLS != "" || s.ClientCert != "" || s.ClientCA != "" || len(s.ClientNames) > 0 {
		return errors.New("tls, sign_in, accept, certificate, min_tls, client_cert, client_ca and client_names are for mode terminate: in originate clients are in clear")
	}
	var err error
	if s.front, err = s.server(); err != nil {
		return err
	}
	s.front.Mode = starttls.None
	return s.backend(starttls.Required)
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
