// Package hostile has servers that do wrong at the boundary between cleartext
// and TLS, in every protocol of the library: what check must find, and what
// people can point any tool at.
package hostile

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"example.org/starttls"
)

// Fault is what a server does wrong; the zero value is a server that drops what
// came in clear behind the request for TLS, which is safe and usual.
type Fault struct {
	// Keep is given what came in clear behind the request, and what it returns is
	// read inside TLS as if it had been sent there (CVE-2011-0411). Nil drops it.
	Keep func(ahead []byte) []byte
	// ReadsOn keeps what comes in clear until the ClientHello, too.
	ReadsOn bool
	// OutputKept gives the answer to a line in front of the request inside TLS.
	OutputKept bool
	// GreetsAgain greets inside TLS, in protocols that do not.
	GreetsAgain bool
	// ClearInstead goes on in clear where cleartext comes in the place of TLS,
	// ClearBetween where it comes between records, ClearAfter after close_notify.
	ClearInstead, ClearBetween, ClearAfter bool
}

// All is a Keep that keeps everything.
func All(ahead []byte) []byte { return ahead }

// Serve serves one connection as a server of p, a Host, with the fault f. It
// closes nc.
func Serve(ctx context.Context, nc net.Conn, p starttls.Protocol, cfg *starttls.Config, f Fault) error {
	defer nc.Close()
	s := &session{ctx: ctx, nc: nc, protocol: p, cfg: cfg, fault: f}
	ahead, upgraded, err := s.cleartext()
	if err != nil {
		return err
	}
	if !upgraded {
		return s.inClear(ahead)
	}
	if f.ReadsOn || f.ClearInstead {
		if ahead, err = s.readOn(ahead); err != nil {
			return err
		}
	}
	if f.ClearInstead && len(ahead) > 0 && ahead[0] != 0x16 {
		return s.inClear(withoutAlert(ahead))
	}
	kept, hello := ahead, []byte(nil)
	if i := bytes.Index(ahead, []byte("\x16\x03")); i >= 0 {
		kept, hello = ahead[:i], ahead[i:]
	}
	if f.Keep == nil {
		kept = nil
	} else {
		kept = f.Keep(kept)
	}
	return s.inTLS(hello, kept)
}

type session struct {
	ctx      context.Context
	nc       net.Conn
	protocol starttls.Protocol
	cfg      *starttls.Config
	fault    Fault
}

func (s *session) wire(nc net.Conn, inTLS bool) *starttls.Wire {
	return starttls.NewWire(s.ctx, nc, starttls.WireConfig{Side: starttls.ServerSide, ServerName: s.cfg.ServerName, NoTranscript: true, TLS: inTLS, Upgraded: inTLS})
}

// cleartext speaks the server's half and returns what was read past it, and
// whether TLS is next.
func (s *session) cleartext() (ahead []byte, upgraded bool, err error) {
	nc := s.nc
	if s.fault.OutputKept {
		nc = &lastFirst{nc}
	}
	w := s.wire(nc, false)
	defer w.Release()
	info, offer := s.protocol.Info(), starttls.Offer{}
	if info.MX || info.EagerClient { // who must not require it; or so that a command in the place of a ClientHello is left unread
		offer.Mode = starttls.Optional
	}
	out, err := s.protocol.Server(w, s.cfg.Hello, offer)
	return w.Ahead(), out.TLS || info.EagerClient, err
}

// readOn reads what comes next in clear, until a TLS record has begun; or, for a
// server that goes on in clear, once.
func (s *session) readOn(ahead []byte) ([]byte, error) {
	buf := make([]byte, 4096)
	for !bytes.Contains(ahead, []byte("\x16\x03")) && len(ahead) < 64<<10 {
		n, err := s.nc.Read(buf)
		if err != nil {
			return nil, err
		}
		ahead = append(ahead, buf[:n]...)
		if s.fault.ClearInstead {
			break
		}
	}
	return ahead, nil
}

// inTLS serves the session inside TLS: hello was read of it by now, and kept is
// what the session begins with.
func (s *session) inTLS(hello, kept []byte) error {
	raw, unwrap := net.Conn(&after{s.nc, hello}), func() {}
	if p, ok := s.protocol.(starttls.HandshakeWrapper); ok {
		raw, unwrap = p.WrapHandshake(raw)
	}
	if s.fault.ClearBetween {
		raw = &between{after: after{raw, nil}, session: s}
	}
	cfg := s.cfg.TLS.Clone()
	info := s.protocol.Info()
	cfg.MaxVersion = cmp.Or(info.MaxVersion, cfg.MaxVersion)
	if info.ALPNUpgraded {
		cfg.NextProtos = info.ALPN
	}
	tc := tls.Server(raw, cfg)
	if err := tc.HandshakeContext(s.ctx); err != nil {
		return err
	}
	unwrap()
	w := s.wire(&after{tc, kept}, true)
	defer w.Release()
	if info.SpeaksAfterTLS || s.fault.GreetsAgain {
		if _, err := s.protocol.Server(w, s.cfg.Hello, starttls.Offer{Mode: starttls.NoOffer}); err != nil {
			return err
		}
	}
	err := s.protocol.(starttls.Host).Serve(w, s.cfg.Hello, nil)
	if errors.Is(err, io.EOF) && s.fault.ClearAfter {
		return s.inClear(nil)
	}
	return err
}

// inClear serves the session in clear; first was read of it by now.
func (s *session) inClear(first []byte) error {
	w := s.wire(&after{s.nc, first}, false)
	defer w.Release()
	return s.protocol.(starttls.Host).Serve(w, s.cfg.Hello, nil)
}

func withoutAlert(b []byte) []byte {
	if len(b) >= 7 && b[0] == 0x15 {
		return b[7:]
	}
	return b
}

// after is a connection on which first comes before all else.
type after struct {
	net.Conn
	first []byte
}

func (c *after) Read(b []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.first)
	c.first = c.first[n:]
	return n, nil
}

// lastFirst moves the last line of a segment of several in front of the others.
type lastFirst struct{ net.Conn }

func (c *lastFirst) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	whole := bytes.TrimSuffix(b[:n], []byte("\n"))
	if i := bytes.LastIndexByte(whole, '\n'); i >= 0 {
		copy(b, append(bytes.Clone(b[i+1:n]), b[:i+1]...))
	}
	return n, err
}

// between hands TLS whole records, and serves what stands between them in clear.
type between struct {
	after
	session *session
	rest    []byte // of a record
}

func (c *between) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		head := make([]byte, 5)
		if _, err := io.ReadFull(&c.after, head); err != nil {
			return 0, err
		}
		if head[0] < 0x14 || head[0] > 0x17 || head[1] != 3 {
			return 0, c.session.inClear(head)
		}
		body := make([]byte, int(head[3])<<8|int(head[4]))
		if _, err := io.ReadFull(&c.after, body); err != nil {
			return 0, err
		}
		c.rest = append(head, body...)
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
