package starttls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Level is how well a connection is protected, in Postfix's words.
type Level int

const (
	LevelNone    Level = iota // cleartext
	LevelEncrypt              // TLS, with a certificate that was not verified: safe from eavesdroppers only
	LevelVerify               // TLS, with the peer verified as the tls.Config asks
)

func (l Level) String() string {
	if l < LevelNone || l > LevelVerify {
		return fmt.Sprintf("level %d", int(l))
	}
	return [...]string{"none", "encrypt", "verify"}[l]
}

// Timings is how long each phase took; 0 for a phase that did not take place.
type Timings struct {
	Dial, Cleartext, Handshake time.Duration
}

// Conn is a connection at the resume point of its protocol. Reads and writes
// are the tls.Conn's own. It is a *tls.Conn in all but cleartext modes: see
// [Conn.TLS].
type Conn struct {
	net.Conn
	tls        *tls.Conn
	protocol   Protocol
	config     *Config
	side       Side
	level      Level
	unverified error
	fallback   error
	asked      bool
	before     Hello
	inside     Hello
	outcome    Outcome
	transcript Transcript
	timings    Timings
}

// TLS returns the TLS connection, or nil in cleartext. Read and write through
// Conn, not through it: on a rare connection Conn holds bytes already read.
func (c *Conn) TLS() *tls.Conn { return c.tls }

// NetConn returns the connection that Conn was made of, below TLS.
func (c *Conn) NetConn() net.Conn {
	if c.tls != nil {
		return c.tls.NetConn()
	}
	return c.Conn
}

// Level tells how well the connection is protected.
func (c *Conn) Level() Level { return c.level }

// Unverified tells why an opportunistic connection's certificate does not
// verify; nil if it does, or if nobody looked (Level tells).
func (c *Conn) Unverified() error { return c.unverified }

// Fallback tells why an opportunistic connection is in cleartext; nil if it is
// not.
func (c *Conn) Fallback() error { return c.fallback }

// Before is what the server said in cleartext. It is untrusted.
func (c *Conn) Before() Hello { return c.before }

// Inside is what the server said of its own accord inside TLS, or in answer to
// Probe. It is zero for protocols in which nothing is said by then.
func (c *Conn) Inside() Hello { return c.inside }

// Outcome is, on a server, where its half ended.
func (c *Conn) Outcome() Outcome { return c.outcome }

// Protocol is the protocol the connection speaks.
func (c *Conn) Protocol() Protocol { return c.protocol }

// Transcript is what was said on the way to the resume point, secrets left out.
func (c *Conn) Transcript() Transcript { return c.transcript }

// Timings tells how long each phase took.
func (c *Conn) Timings() Timings { return c.timings }

// Greeted returns c for client libraries that expect to read the server's
// greeting first: what it reads begins with a constant one, as the real one was
// read before TLS and is not to be trusted. The session's own bytes follow. In
// protocols without such a greeting it is c itself.
func (c *Conn) Greeted() net.Conn {
	g := c.protocol.Info().Greeting
	if g == "" {
		return c
	}
	return &aheadConn{Conn: c, ahead: []byte(g)}
}

// Probe asks the server what it offers at this point, by the protocol's
// [Prober], and keeps the answer as Inside. Call it before any other use of
// the session, if at all. Protocols without one give an error.
func (c *Conn) Probe(ctx context.Context) (Hello, error) {
	p, ok := c.protocol.(Prober)
	if !ok {
		return Hello{}, c.fail(StageSession, fmt.Errorf("%s can not be probed", c.protocol.Info().Name))
	}
	ph := c.phase(ctx, c.Conn, c.config.Timeouts.Handshake)
	h, err := p.Probe(ph.wire)
	c.inside = h
	if err := ph.end(err); err != nil {
		return h, c.fail(StageSession, err)
	}
	return h, nil
}

// Wire returns a Wire over the session, as a [Host] or an [Authenticator] wants
// it: at the resume point, with the limits of the cleartext phase and without a
// transcript. Release it when done; read and write through c no more while it
// is in use.
func (c *Conn) Wire(ctx context.Context) *Wire {
	cfg := c.wireConfig()
	cfg.NoTranscript = true
	return NewWire(ctx, c, cfg)
}

func (c *Conn) wireConfig() WireConfig {
	return WireConfig{
		Side: c.side, ServerName: c.config.serverName(), LocalName: c.config.LocalName, Limits: c.config.Limits,
		TLS: c.tls != nil, NoTranscript: c.config.NoTranscript, Upgraded: c.tls != nil && c.config.Mode != Implicit, Before: &c.before,
	}
}

// CloseWrite tells the peer that nothing more will be written: by TLS's
// close_notify, or in cleartext by closing that half of the TCP connection.
func (c *Conn) CloseWrite() error {
	if c.tls != nil {
		return c.tls.CloseWrite()
	}
	nc := c.Conn
	if a, ok := nc.(*aheadConn); ok {
		nc = a.Conn
	}
	if w, ok := nc.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// fail describes a failure with what is known of the connection by then.
func (c *Conn) fail(s Stage, err error) *Error {
	return &Error{Protocol: c.protocol.Info().Name, Addr: remote(c.Conn), Stage: s, Err: err, Asked: c.asked,
		Before: c.before, Transcript: c.transcript, Timings: c.timings}
}
