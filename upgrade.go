package starttls

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"
	"unicode"
)

// The content types of TLS records (RFC 8446, section 5.1) that can come first.
const (
	recordAlert     = 0x15
	recordHandshake = 0x16
)

// phase is one bounded stretch of a connection's way, spoken over one Wire.
type phase struct {
	conn  *Conn
	ctx   context.Context
	nc    net.Conn
	wire  *Wire
	start time.Time
	limit time.Duration
}

// phase begins one over nc, inside TLS if c has it by now.
func (c *Conn) phase(ctx context.Context, nc net.Conn, limit time.Duration) phase {
	now := time.Now()
	nc.SetDeadline(now.Add(limit))
	cfg := c.wireConfig()
	cfg.OnAsk, cfg.OnGoAhead, cfg.BeforeAsk = c.config.OnAsk, c.config.OnGoAhead, c.config.BeforeAsk
	wire := NewWire(ctx, nc, cfg)
	return phase{c, ctx, nc, wire, now, limit}
}

// end closes the phase: it keeps the transcript, puts back what was read ahead
// as c.Conn, lifts the deadline, and says err in terms of the phase.
func (p *phase) end(err error) error {
	if p.conn.transcript == nil {
		p.conn.transcript = p.wire.Transcript()
	} else {
		p.conn.transcript = append(p.conn.transcript, p.wire.Transcript()...)
	}
	p.conn.Conn = p.wire.Conn()
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	if err != nil {
		var reply *ReplyError
		if p.conn.side == ServerSide && errors.As(err, &reply) {
			reply.FromClient = true
		}
		return timedOut(err, p.limit)
	}
	return p.nc.SetDeadline(time.Time{})
}

func timedOut(err error, limit time.Duration) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &phaseTimeoutError{limit.String(), err}
	}
	return err
}

func newClient(ctx context.Context, nc net.Conn, addr string, p Protocol, cfg *Config) (*Conn, error) {
	c := &Conn{Conn: nc, protocol: p, config: cfg}
	stage, err := c.client(ctx)
	if err != nil {
		nc.Close()
		e := c.fail(stage, err)
		e.Addr = addr
		cfg.logger().Info("no TLS", "protocol", e.Protocol, "addr", addr, "stage", stage, "err", err)
		return nil, e
	}
	c.log(ctx, "connected", addr)
	return c, nil
}

// log tells of success; it costs nothing where nobody listens.
func (c *Conn) log(ctx context.Context, what, addr string) {
	if l := c.config.logger(); l.Enabled(ctx, slog.LevelDebug) {
		l.Debug(what, "protocol", c.protocol.Info().Name, "addr", cmp.Or(addr, remote(c.Conn)), "level", c.level)
	}
}

// client brings c to the resume point and returns the stage it failed at.
func (c *Conn) client(ctx context.Context) (Stage, error) {
	info := c.protocol.Info()
	for _, name := range []string{c.config.serverName(), c.config.LocalName} {
		if strings.ContainsFunc(name, unicode.IsControl) { // a line break in it would end the command
			return StageCleartext, fmt.Errorf("%q can not be a name", name)
		}
	}
	if c.config.Mode == Required || c.config.Mode == Opportunistic {
		ask := IfOffered
		if c.config.Blind {
			ask = Always
		}
		if err := c.clientCleartext(ctx, ask); err != nil {
			return StageCleartext, err
		}
	}
	if c.config.Mode == None {
		return StageCleartext, c.clientCleartext(ctx, NoAsk)
	}
	if err := c.handshake(ctx, func(nc net.Conn) *tls.Conn { return tls.Client(nc, c.clientTLS(info)) }); err != nil {
		return StageHandshake, err
	}
	return StageSession, c.clientInside(ctx, info)
}

// clientCleartext speaks the client's half and holds the boundary: no byte that
// came before the handshake may be read after it.
func (c *Conn) clientCleartext(ctx context.Context, ask Ask) error {
	ph := c.phase(ctx, c.Conn, c.config.Timeouts.Cleartext)
	h, err := c.protocol.Client(ph.wire, ask)
	c.before, c.asked = h, ph.wire.Asked()
	if err == nil && ask != NoAsk {
		err = c.boundary(ph.wire.Ahead(), ServerSide, c.refusesTLS)
	}
	c.timings.Cleartext = time.Since(ph.start)
	return ph.end(err)
}

// clientInside reads what the server says of itself inside TLS, and settles
// what must be settled before the session.
func (c *Conn) clientInside(ctx context.Context, info Info) error {
	implicit := c.config.Mode == Implicit
	settler, settles := c.protocol.(Settler)
	if c.config.Bare || !(implicit && info.ServerFirst) && !info.SpeaksAfterTLS && !settles {
		return nil
	}
	ph := c.phase(ctx, c.Conn, c.config.Timeouts.Handshake)
	var err error
	if implicit && info.ServerFirst || info.SpeaksAfterTLS {
		c.inside, err = c.protocol.Client(ph.wire, NoAsk)
	}
	if err == nil && settles {
		err = settler.Settle(ph.wire)
	}
	return ph.end(err)
}

func newServer(ctx context.Context, nc net.Conn, p Protocol, cfg *Config) (*Conn, error) {
	c := &Conn{Conn: nc, protocol: p, config: cfg, side: ServerSide}
	stage, err := c.server(ctx)
	if err != nil {
		nc.Close()
		cfg.logger().Info("no TLS", "protocol", p.Info().Name, "addr", remote(nc), "stage", stage, "err", err)
		e := c.fail(stage, err)
		e.Addr = remote(nc)
		return nil, e
	}
	c.log(ctx, "accepted", "")
	return c, nil
}

func (c *Conn) server(ctx context.Context) (Stage, error) {
	info := c.protocol.Info()
	if c.config.Mode == None {
		if c.config.Bare {
			return StageCleartext, nil
		}
		return StageCleartext, c.serverCleartext(ctx, Offer{Mode: NoOffer})
	}
	if c.config.Mode == Required {
		if err := c.serverCleartext(ctx, c.config.Offer); err != nil {
			return StageCleartext, err
		}
		if !c.outcome.TLS { // Hide and Optional; Grant was refused above
			return StageCleartext, nil
		}
	}
	if err := c.handshake(ctx, func(nc net.Conn) *tls.Conn { return tls.Server(nc, baseTLS(c.config, info)) }); err != nil {
		return StageHandshake, err
	}
	if c.config.Bare || c.config.Mode != Implicit && !info.SpeaksAfterTLS {
		return StageSession, nil
	}
	ph := c.phase(ctx, c.Conn, c.config.Timeouts.Handshake)
	_, err := c.protocol.Server(ph.wire, c.config.Hello, Offer{Mode: NoOffer})
	return StageSession, ph.end(err)
}

// serverCleartext speaks the server's half and holds the boundary: behind the
// request for TLS only a TLS record may have been read, and not even that where
// the handshake is wrapped.
func (c *Conn) serverCleartext(ctx context.Context, offer Offer) error {
	ph := c.phase(ctx, c.Conn, c.config.Timeouts.Cleartext)
	out, err := c.protocol.Server(ph.wire, c.config.Hello, offer)
	c.outcome = out
	if err == nil && out.TLS {
		err = c.boundary(ph.wire.Ahead(), ClientSide, c.startsTLS)
	}
	if err == nil && !out.TLS && (offer.Mode == Grant || offer.Mode == Decline) {
		err = ErrNotUpgraded
	}
	c.timings.Cleartext = time.Since(ph.start)
	return ph.end(err)
}

// boundary is where TLS begins: of what from sent behind the last words in clear,
// only what may be TLS crosses it.
func (c *Conn) boundary(ahead []byte, from Side, may func([]byte) bool) error {
	if len(ahead) > 0 && !may(ahead) {
		return &InjectedError{From: from, Bytes: ahead}
	}
	if c.config.OnTLS != nil {
		c.config.OnTLS(ahead)
	}
	return nil
}

// startsTLS reports whether b begins a TLS handshake record (RFC 8446, section
// 5.1): the only read-ahead that is legitimate on a server. A wrapped handshake
// begins with a packet, which the client of such a protocol does not send before
// it was answered.
func (c *Conn) startsTLS(b []byte) bool {
	_, wraps := c.protocol.(HandshakeWrapper)
	return !wraps && b[0] == recordHandshake && (len(b) < 2 || b[1] == 3)
}

// refusesTLS reports whether b is one fatal alert (RFC 5246, section 7.2) and
// nothing else: a server that consented, and then finds that it has no TLS to
// give, may say so before it hears a ClientHello. TLS is left to read it, and
// ends by it; nothing can be injected so.
func (c *Conn) refusesTLS(b []byte) bool {
	const fatal = 2
	_, wraps := c.protocol.(HandshakeWrapper)
	return !wraps && len(b) == 7 && b[0] == recordAlert && b[1] == 3 && b[3] == 0 && b[4] == 2 && b[5] == fatal
}

// handshake puts TLS on c. A failure ends the connection; crypto/tls has sent
// its alert, and nothing else is written.
func (c *Conn) handshake(ctx context.Context, layer func(net.Conn) *tls.Conn) error {
	start := time.Now()
	limit := c.config.Timeouts.Handshake
	c.Conn.SetDeadline(start.Add(limit))
	nc, unwrap := c.wrap()
	tc := layer(nc)
	err := tc.HandshakeContext(ctx)
	c.timings.Handshake = time.Since(start)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	peer := ClientSide + ServerSide - c.side
	if err != nil {
		return handshakeError(timedOut(err, limit), peer)
	}
	unwrap()
	info := c.protocol.Info()
	if info.ALPNRequired && offersALPN(c.config, info) && tc.ConnectionState().NegotiatedProtocol == "" {
		return fmt.Errorf("the %s did not agree on the protocol name %q (ALPN)", peer, info.ALPN)
	}
	c.tls, c.Conn = tc, tc
	c.level = LevelVerify
	if c.side == ClientSide && (c.config.TLS != nil && c.config.TLS.InsecureSkipVerify || c.unverified != nil) {
		c.level = LevelEncrypt
	}
	if c.side == ServerSide && len(tc.ConnectionState().VerifiedChains) == 0 {
		c.level = LevelEncrypt
	}
	return tc.SetDeadline(time.Time{})
}

// wrap returns what the handshake is made over, and what ends that form.
func (c *Conn) wrap() (nc net.Conn, unwrap func()) {
	if w, ok := c.protocol.(HandshakeWrapper); ok && c.config.Mode != Implicit {
		return w.WrapHandshake(c.Conn)
	}
	return c.Conn, func() {}
}
