// Package hostile has servers that do wrong at the boundary between cleartext
// and TLS, in every protocol of the library: what check must find, and what
// people can point any tool at.
package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"

	"example.org/starttls"
)

// Careless serves one connection as a server of p without a boundary: what came
// behind the request for TLS is given to keep, and what keep returns is read
// inside TLS as if it had been sent there. A keep that returns its argument is
// CVE-2011-0411; one that returns nothing is a server that drops such bytes,
// which is safe and usual. p must be a Host. It closes nc.
func Careless(ctx context.Context, nc net.Conn, p starttls.Protocol, cfg *starttls.Config, keep func(ahead []byte) []byte) error {
	defer nc.Close()
	wire := starttls.WireConfig{Side: starttls.ServerSide, ServerName: cfg.ServerName, NoTranscript: true}
	w := starttls.NewWire(ctx, nc, wire)
	// Optional, so that a command in the place of a ClientHello is left unread too.
	out, err := p.Server(w, cfg.Hello, starttls.Offer{Mode: starttls.Optional})
	ahead := w.Ahead()
	w.Release()
	if err != nil {
		return err
	}
	if !out.TLS && len(ahead) == 0 {
		return starttls.ErrNotUpgraded
	}
	hello := len(ahead)
	if i := bytes.Index(ahead, []byte("\x16\x03")); i >= 0 { // an eager client's ClientHello
		hello = i
	}
	tc := tls.Server(&after{nc, ahead[hello:]}, cfg.TLS)
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	wire.TLS, wire.Upgraded = true, true
	w = starttls.NewWire(ctx, &after{tc, keep(ahead[:hello])}, wire)
	defer w.Release()
	if p.Info().SpeaksAfterTLS {
		if _, err := p.Server(w, cfg.Hello, starttls.Offer{Mode: starttls.NoOffer}); err != nil {
			return err
		}
	}
	return p.(starttls.Host).Serve(w, cfg.Hello, nil)
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
