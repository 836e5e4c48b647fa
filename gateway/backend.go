package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"example.org/starttls"
)

// backend reads how the server is reached; def is what TLS it has if nothing is said.
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
	d := &dialer
	if s.verifier != nil {
		d = &s.verifier.dialer
	}
	nc, err := d.DialContext(ctx, network, addr)
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
