// Package starttls upgrades connections to TLS inside their own protocol, from
// either end: SMTP's STARTTLS, POP3's STLS, FTP's AUTH TLS, LDAP's StartTLS,
// PostgreSQL's SSLRequest and all the others.
//
// [Dial] gives a client its TLS connection; [NewListener] gives a server its
// own. The protocols are in example.org/starttls/protocol:
//
//	conn, err := starttls.Dial(ctx, "imap.example.org", protocol.IMAP, nil)
//
// Required is the default: a connection is returned only with TLS on it and,
// on the client's side, with the certificate verified. Nothing that was said
// in cleartext crosses into TLS, in either direction: what tries to is an
// [InjectedError].
package starttls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
)

// Mode is what a connection must have before it is handed over.
type Mode int

const (
	// Required upgrades, or fails. It is the default.
	Required Mode = iota
	// Opportunistic upgrades if it can, without insisting on the certificate;
	// if the upgrade fails it closes the connection and opens a new one, in
	// cleartext. Conn.Level tells which it was. Only Dial can do that.
	Opportunistic
	// Implicit begins with TLS at once, with no cleartext phase.
	Implicit
	// None stays in cleartext.
	None
)

func (m Mode) String() string {
	if m < Required || m > None {
		return "mode " + strconv.Itoa(int(m))
	}
	return [...]string{"required", "opportunistic", "implicit", "none"}[m]
}

// Config configures either side. A nil *Config is the zero Config: TLS
// required, certificates verified by the system's roots.
type Config struct {
	Mode Mode

	// TLS is the configuration of TLS; nil is the zero tls.Config. A server
	// needs certificates in it: with several, the client's SNI chooses, and
	// the first is the default for an unknown or missing name. It is not
	// changed, and can be shared.
	TLS *tls.Config

	// ServerName is whom a client expects: it is sent as SNI, the certificate
	// is verified against it, and protocols that name the server in cleartext
	// name it so (XMPP). Empty: TLS.ServerName, then the host dialled. On a
	// server it is the name that it greets with; empty: "localhost".
	ServerName string

	// LocalName is what a client calls itself where the protocol asks for it
	// (SMTP's EHLO). Empty: "localhost". With a control character in either name
	// a client fails before it says anything.
	LocalName string

	Timeouts Timeouts
	Limits   Limits

	// Blind makes a client ask for TLS even when it is not offered: the offer
	// may have been removed on the way (RFC 9325, section 3.2).
	Blind bool

	// Offer and Hello are a server's: what it does about TLS, and how it
	// introduces itself. Zero: TLS is required; a plain introduction.
	Offer Offer
	Hello Hello

	// Dialer opens connections for Dial, through a proxy for example. Nil: a
	// net.Dialer.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

	// Logger is told of upgrades and failures, never of secrets. Nil: nobody is.
	Logger *slog.Logger

	// MaxPending is how many upgrades a listener has under way at most;
	// connections beyond that wait to be accepted. 0: 1000.
	MaxPending int

	// Bare makes either side stop at the end of the handshake, and a server in
	// Mode None at once: nothing is read or said there, not even what the protocol
	// says by itself. It is for tests that look at a server's first words, and for
	// gateways, whose greeting is another server's.
	Bare bool

	// NoTranscript keeps none, of which a server of many connections has no use.
	NoTranscript bool

	// OnAsk, OnGoAhead and BeforeAsk are for tests; see WireConfig.
	OnAsk, OnGoAhead func(msg []byte) []Segment
	BeforeAsk        func(w *Wire) error

	// OnTLS, when not nil, is called where the cleartext phase has ended well and
	// TLS begins, with what was read of TLS by then: on a server the start of a
	// ClientHello, if anything. It is for tests that tell the two apart on the wire.
	OnTLS func(ahead []byte)
}

// Timeouts bounds the phases of one connection, each as a whole. 0 means the
// default in brackets. A context's deadline holds besides.
type Timeouts struct {
	Dial      time.Duration // name look-up and TCP (10 s)
	Cleartext time.Duration // from there to the go-ahead (30 s)
	Handshake time.Duration // TLS, and what must follow it before the session (30 s)
}

func (t Timeouts) withDefaults() Timeouts {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Dial, 10*time.Second)
	def(&t.Cleartext, 30*time.Second)
	def(&t.Handshake, 30*time.Second)
	return t
}

// Dial connects to addr and brings the connection to the resume point of p.
// addr is HOST, HOST:PORT or the path of a unix socket; without a port it is
// the usual one of p. Every error is an *Error.
func Dial(ctx context.Context, addr string, p Protocol, cfg *Config) (*Conn, error) {
	c := config(cfg)
	network, addr, host := address(addr, p.Info(), c.Mode)
	if c.ServerName == "" && (c.TLS == nil || c.TLS.ServerName == "") {
		c.ServerName = host
	}
	conn, err := dial(ctx, network, addr, p, c)
	if err == nil || c.Mode != Opportunistic {
		return conn, err
	}
	var e *Error
	if ctx.Err() != nil || errors.As(err, &e) && e.Stage == StageDial {
		return nil, err
	}
	c.logger().Warn("no TLS; going on in cleartext on a new connection", "protocol", p.Info().Name, "addr", addr, "err", err)
	why := err
	c.Mode = None
	if conn, err = dial(ctx, network, addr, p, c); err != nil {
		return nil, err
	}
	conn.fallback = why
	return conn, nil
}

func dial(ctx context.Context, network, addr string, p Protocol, c *Config) (*Conn, error) {
	start := time.Now()
	dctx, cancel := context.WithTimeout(ctx, c.Timeouts.Dial)
	defer cancel()
	open := c.Dialer
	if open == nil {
		open = new(net.Dialer).DialContext
	}
	nc, err := open(dctx, network, addr)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &Error{Protocol: p.Info().Name, Addr: addr, Stage: StageDial, Err: err}
	}
	took := time.Since(start)
	conn, err := newClient(ctx, nc, addr, p, c)
	var e *Error
	if errors.As(err, &e) {
		e.Timings.Dial = took
	}
	if conn != nil {
		conn.timings.Dial = took
	}
	return conn, err
}

// Client brings nc, fresh from the dialler, to the resume point of p. It takes
// nc over: when it fails, nc is closed. The name to verify must be given in cfg.
// Opportunistic is ErrMode: Client can not dial again.
func Client(ctx context.Context, nc net.Conn, p Protocol, cfg *Config) (*Conn, error) {
	if nc == nil {
		return nil, &Error{Protocol: p.Info().Name, Stage: StageDial, Err: errNilConn}
	}
	c := config(cfg)
	if c.Mode == Opportunistic {
		nc.Close()
		return nil, &Error{Protocol: p.Info().Name, Stage: StageCleartext, Err: fmt.Errorf("%w: only Dial can be opportunistic", ErrMode)}
	}
	return newClient(ctx, nc, remote(nc), p, c)
}

// Server brings nc, just accepted, to the resume point of p as its server. It
// takes nc over: when it fails, nc is closed, and nothing was written to it in
// cleartext after the go-ahead. Opportunistic is ErrMode; a server that leaves
// the choice to the client has Offer.Mode Optional.
//
// Where p sets bounds to TLS (ALPN names, versions) that cfg.TLS does not have,
// each call makes its own copy of cfg.TLS, with ticket keys of its own: sessions
// are not resumed. A server of many connections uses [NewListener], which makes
// one.
func Server(ctx context.Context, nc net.Conn, p Protocol, cfg *Config) (*Conn, error) {
	if nc == nil {
		return nil, &Error{Protocol: p.Info().Name, Stage: StageDial, Err: errNilConn}
	}
	c := config(cfg)
	if c.Mode == Opportunistic {
		nc.Close()
		return nil, &Error{Protocol: p.Info().Name, Stage: StageCleartext, Err: fmt.Errorf("%w: a server's choice is Offer.Mode", ErrMode)}
	}
	return newServer(ctx, nc, p, c)
}

// config returns a copy of cfg with defaults filled in.
func config(cfg *Config) *Config {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	c.Timeouts = c.Timeouts.withDefaults()
	return &c
}

var discard = slog.New(slog.DiscardHandler)

func (c *Config) logger() *slog.Logger {
	if c.Logger == nil {
		return discard
	}
	return c.Logger
}

// serverName is the reference identity, as TLS and the protocol are told it.
func (c *Config) serverName() string {
	if c.ServerName == "" && c.TLS != nil {
		return c.TLS.ServerName
	}
	return c.ServerName
}

// address completes addr: a path is a unix socket, a missing port is the usual one.
func address(addr string, i Info, m Mode) (network, full, host string) {
	if strings.HasPrefix(addr, "/") {
		return "unix", addr, "localhost"
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
		port := i.Port
		if m == Implicit && i.ImplicitTLS != 0 {
			port = i.ImplicitTLS
		}
		addr = net.JoinHostPort(host, strconv.Itoa(port))
	}
	return "tcp", addr, strings.TrimSuffix(host, ".")
}

func remote(nc net.Conn) string {
	if a := nc.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}
