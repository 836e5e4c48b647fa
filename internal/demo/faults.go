package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"time"

	"example.org/starttls"
	"example.org/starttls/check"
	"example.org/starttls/internal/hostile"
	"example.org/starttls/internal/testca"
	"example.org/starttls/internal/tlsprobe/badserver"
	"example.org/starttls/protocol"
)

// fault is a way to be wrong, in any protocol.
type fault struct {
	name    string
	want    []string      // the findings it gets
	also    []string      // those that may follow
	outcome check.Outcome // "": upgraded
	// edit makes it, where it is one of configuration; ca is the trusted
	// authority, cfg that of a healthy server.
	edit func(cfg *starttls.Config, ca *testca.CA, p starttls.Protocol) error
	// serve takes the place of the healthy server.
	serve    func(ctx context.Context, nc net.Conn, p starttls.Protocol, cfg *starttls.Config)
	protocol starttls.Protocol // that it is shown in; nil: one of those that have room for it
	served   bool              // only to point tools at: a check takes its time, or shows the fault only in full
}

// certificate gives a server one that is good for 90 days, as far as edit, which
// may be nil, leaves it so: each server has the one fault it is made for.
func certificate(edit func(*x509.Certificate), names ...string) func(*starttls.Config, *testca.CA, starttls.Protocol) error {
	return func(cfg *starttls.Config, ca *testca.CA, _ starttls.Protocol) error {
		cert, err := ca.Issue(func(t *x509.Certificate) {
			t.NotAfter = time.Now().Add(90 * 24 * time.Hour)
			if edit != nil {
				edit(t)
			}
		}, names...)
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		return err
	}
}

var faults = []fault{
	{name: "hides TLS", outcome: check.NotOffered, want: []string{"not-offered"}, edit: func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.Offer.Mode = starttls.Hide
		return nil
	}},
	{name: "masked on the way", outcome: check.Stripped, want: []string{"masked-keyword"}, edit: func(c *starttls.Config, _ *testca.CA, p starttls.Protocol) error {
		c.Offer = starttls.Offer{Mode: starttls.Decline, Keyword: "XXXXXXXA"}
		return nil
	}},
	{name: "refuses", outcome: check.Refused, want: []string{"refused"}, edit: func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.Offer.Mode = starttls.Decline
		return nil
	}},
	{name: "injects a reply", outcome: check.Injected, want: []string{"reply-injected"}, edit: func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.OnGoAhead = func(msg []byte) []starttls.Segment {
			return []starttls.Segment{{Data: append(slices.Clone(msg), "250 injected\r\n"...)}}
		}
		return nil
	}},
	{name: "stays in clear", outcome: check.CleartextAfterGo, want: []string{"cleartext-after-go-ahead"}, edit: func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.OnGoAhead = func(msg []byte) []starttls.Segment {
			return []starttls.Segment{{Data: msg}, {Data: []byte("500 what was that?\r\n"), Delay: 50 * time.Millisecond}}
		}
		return nil
	}},
	{name: "wrong name", want: []string{"cert-name"}, edit: certificate(nil, "other.example.test")},
	{name: "expired", want: []string{"cert-expired"}, edit: certificate(func(t *x509.Certificate) {
		t.NotBefore, t.NotAfter = time.Now().Add(-72*time.Hour), time.Now().Add(-48*time.Hour)
	}, Name)},
	{name: "unknown authority", want: []string{"cert-untrusted"}, edit: func(c *starttls.Config, _ *testca.CA, p starttls.Protocol) error {
		stranger, err := testca.New("nobody's root")
		if err != nil {
			return err
		}
		return certificate(nil, Name)(c, stranger, p)
	}},
	{name: "old TLS", want: []string{"old-tls"}, edit: func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.TLS = c.TLS.Clone()
		c.TLS.MinVersion, c.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		return nil
	}},
	{name: "offers it in lower case", protocol: protocol.Submission, edit: func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.Offer.Keyword = "starttls"
		return nil
	}},
	{name: "greets without ESMTP", protocol: protocol.Submission, edit: greeting("220 ready\r\n")},
	{name: "wants fewer connections", protocol: protocol.Submission, outcome: check.Throttled, served: true, edit: greeting("421 4.7.0 too many connections\r\n")},
	{name: "serves nobody", protocol: protocol.Submission, outcome: check.Refused, edit: greeting("554 5.7.1 no service\r\n")},
	{name: "greets in many lines, byte by byte", protocol: protocol.Submission, edit: greeting("220-one\r\n220-two\r\n220 three\r\n"),
		serve: through(func(nc net.Conn) net.Conn { return &dribbling{nc} })},
	{name: "greets after 8 s", protocol: protocol.Submission, served: true, serve: func(ctx context.Context, nc net.Conn, p starttls.Protocol, cfg *starttls.Config) {
		if sleep(ctx, 8*time.Second) {
			hostile.Serve(ctx, nc, p, cfg, hostile.Fault{})
		}
	}},
	{name: "closes after the go-ahead", protocol: protocol.Submission, outcome: check.HandshakeFailed, want: []string{"handshake-failed"},
		serve: untilTLS(func(context.Context, net.Conn) {})},
	{name: "hangs after the go-ahead", protocol: protocol.Submission, outcome: check.TimedOut, served: true,
		serve: untilTLS(func(ctx context.Context, _ net.Conn) { sleep(ctx, time.Minute) })},
	{name: "accepts TLS that it does not offer", protocol: protocol.Submission, outcome: check.Stripped, want: []string{"offer-removed"}, edit: func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.Offer.Keyword = "X-NOTHING"
		return nil
	}},
	{name: "carries commands into TLS", protocol: protocol.Submission, want: []string{"inject-segment"}, also: injections,
		serve: boundary(hostile.Fault{Keep: hostile.All})},
	{name: "reads on in clear while TLS begins", protocol: protocol.Submission, serve: boundary(hostile.Fault{Keep: hostile.All, ReadsOn: true}),
		want: []string{"inject-segment"}, also: injections},
	{name: "answers from before TLS inside it", protocol: protocol.Submission, serve: boundary(hostile.Fault{Keep: hostile.All, OutputKept: true}),
		want: []string{"inject-prefix"}, also: injections},
	{name: "greets again inside TLS", protocol: protocol.Submission, want: []string{"greeting-in-tls"}, serve: boundary(hostile.Fault{GreetsAgain: true})},
	{name: "goes on in clear without TLS", protocol: protocol.Submission, want: []string{"clear-after-go-ahead"}, also: injections, serve: boundary(hostile.Fault{ClearInstead: true})},
	{name: "obeys cleartext between records", protocol: protocol.Submission, want: []string{"clear-in-tls"}, also: append([]string{"clear-after-go-ahead"}, injections...), serve: boundary(hostile.Fault{ClearBetween: true})},
	{name: "goes on in clear after TLS", protocol: protocol.Submission, want: []string{"clear-after-tls"}, serve: boundary(hostile.Fault{ClearAfter: true})},
}

// level is how far a check must go: what is wrong with a server of its own kind
// shows only in probes.
func (f fault) level() check.Level {
	if f.serve != nil {
		return check.ActiveProbes
	}
	return check.Handshake
}

// injections are the tests of commands that come in clear.
var injections = []string{"inject-segment", "inject-delayed", "inject-after-ok", "inject-partial-line", "inject-prefix", "inject-parser"}

// greeting replaces the server's first words.
func greeting(text string) func(*starttls.Config, *testca.CA, starttls.Protocol) error {
	return func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.Hello.Greeting = []byte(text)
		return nil
	}
}

// boundary serves with a fault of the boundary.
func boundary(f hostile.Fault) func(context.Context, net.Conn, starttls.Protocol, *starttls.Config) {
	return func(ctx context.Context, nc net.Conn, p starttls.Protocol, cfg *starttls.Config) {
		hostile.Serve(ctx, nc, p, cfg, f)
	}
}

// through serves well, over a connection that does not.
func through(over func(net.Conn) net.Conn) func(context.Context, net.Conn, starttls.Protocol, *starttls.Config) {
	return func(ctx context.Context, nc net.Conn, p starttls.Protocol, cfg *starttls.Config) {
		hostile.Serve(ctx, over(nc), p, cfg, hostile.Fault{})
	}
}

// untilTLS goes as far as the go-ahead, and then does something else.
func untilTLS(then func(context.Context, net.Conn)) func(context.Context, net.Conn, starttls.Protocol, *starttls.Config) {
	return func(ctx context.Context, nc net.Conn, p starttls.Protocol, cfg *starttls.Config) {
		w := starttls.NewWire(ctx, nc, starttls.WireConfig{Side: starttls.ServerSide, ServerName: cfg.ServerName, NoTranscript: true})
		defer w.Release()
		if out, err := p.Server(w, cfg.Hello, cfg.Offer); err == nil && out.TLS {
			then(ctx, nc)
		}
	}
}

// sleep reports whether nobody ended it.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// dribbling is a connection that writes byte by byte.
type dribbling struct{ net.Conn }

func (d *dribbling) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// flawedTLS are servers whose TLS has one of the old faults.
func flawedTLS(ca *testca.CA) (out []fault, err error) {
	cert, err := badserver.Certificate(ca.Self(), Name)
	if err != nil {
		return nil, err
	}
	for _, f := range badserver.Flaws {
		cfg := badserver.Config{Certificate: cert}
		f.Set(&cfg)
		server, err := badserver.New(cfg)
		if err != nil {
			return nil, err
		}
		out = append(out, fault{name: "TLS " + f.About, served: true, serve: untilTLS(func(_ context.Context, nc net.Conn) { server.Serve(nc) })})
	}
	return out, nil
}
