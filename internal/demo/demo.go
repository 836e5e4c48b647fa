// Package demo runs servers of every protocol on loopback, healthy ones and
// some with a fault each, made of the library's server halves.
package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/starttls"
	"example.org/starttls/check"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"
)

// Name is whom the healthy servers' certificates are for.
const Name = "demo.example.test"

// Server is one of them.
type Server struct {
	Fault  string // "" for a healthy one
	Target check.Target
	Want   string // the one finding it must get; "" for none worse than info
}

// Demo is all of them, running.
type Demo struct {
	Root      *x509.Certificate // of the throw-away authority they trust
	Servers   []Server
	cancel    context.CancelFunc
	listeners []net.Listener
	sessions  sync.WaitGroup
}

// fault is a way to be wrong, in any protocol.
type fault struct {
	name, want string
	// edit makes it; ca is the trusted authority, cfg that of a healthy server.
	edit func(cfg *starttls.Config, ca *testca.CA, p starttls.Protocol) error
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
	{"hides TLS", "not-offered", func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.Offer.Mode = starttls.Hide
		return nil
	}},
	{"masked on the way", "masked-keyword", func(c *starttls.Config, _ *testca.CA, p starttls.Protocol) error {
		c.Offer = starttls.Offer{Mode: starttls.Decline, Keyword: "XXXXXXXA"}
		return nil
	}},
	{"refuses", "refused", func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.Offer.Mode = starttls.Decline
		return nil
	}},
	{"injects a reply", "reply-injected", func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.OnGoAhead = func(msg []byte) []starttls.Segment {
			return []starttls.Segment{{Data: append(slices.Clone(msg), "250 injected\r\n"...)}}
		}
		return nil
	}},
	{"stays in clear", "cleartext-after-go-ahead", func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.OnGoAhead = func(msg []byte) []starttls.Segment {
			return []starttls.Segment{{Data: msg}, {Data: []byte("500 what was that?\r\n"), Delay: 50 * time.Millisecond}}
		}
		return nil
	}},
	{"wrong name", "cert-name", certificate(nil, "other.example.test")},
	{"expired", "cert-expired", certificate(func(t *x509.Certificate) {
		t.NotBefore, t.NotAfter = time.Now().Add(-72*time.Hour), time.Now().Add(-48*time.Hour)
	}, Name)},
	{"unknown authority", "cert-untrusted", func(c *starttls.Config, _ *testca.CA, p starttls.Protocol) error {
		stranger, err := testca.New("nobody's root")
		if err != nil {
			return err
		}
		return certificate(nil, Name)(c, stranger, p)
	}},
	{"old TLS", "old-tls", func(c *starttls.Config, _ *testca.CA, _ starttls.Protocol) error {
		c.TLS = c.TLS.Clone()
		c.TLS.MinVersion, c.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		return nil
	}},
}

// Start starts the servers. Close them.
func Start(ctx context.Context) (*Demo, error) {
	ca, err := testca.New("starttls demo root")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	d := &Demo{Root: ca.Certificate, cancel: cancel}
	for _, p := range protocol.All() {
		if err := d.serve(ctx, ca, p, fault{}); err != nil {
			d.Close()
			return nil, err
		}
	}
	shown := victims()
	for i, f := range faults {
		if err := d.serve(ctx, ca, shown[i%len(shown)], f); err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// victims are the protocols that the faults are shown in, each in turn: those
// that list what they can do and whose clients sign in.
func victims() []starttls.Protocol {
	return slices.DeleteFunc(protocol.All(), func(p starttls.Protocol) bool {
		i := p.Info()
		return !i.ServerFirst || i.Unadvertised || i.EagerClient || i.Binary || i.Role != starttls.Access || i.SpeaksAfterTLS
	})
}

func (d *Demo) serve(ctx context.Context, ca *testca.CA, p starttls.Protocol, f fault) error {
	cfg := &starttls.Config{ServerName: Name, Hello: starttls.Hello{Software: "demo"}}
	if err := certificate(nil, Name)(cfg, ca, p); err != nil {
		return err
	}
	if f.edit != nil {
		if err := f.edit(cfg, ca, p); err != nil {
			return err
		}
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l := starttls.NewListener(tcp, p, cfg)
	d.listeners = append(d.listeners, l)
	d.sessions.Go(func() { d.sessionsOf(ctx, l, p, cfg) })
	port := tcp.Addr().(*net.TCPAddr).Port
	d.Servers = append(d.Servers, Server{f.name, check.Target{Protocol: p, Host: "127.0.0.1", Port: port, Address: tcp.Addr().String()}, f.want})
	return nil
}

func (d *Demo) sessionsOf(ctx context.Context, l net.Listener, p starttls.Protocol, cfg *starttls.Config) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		d.sessions.Go(func() {
			defer nc.Close()
			c := nc.(*starttls.Conn)
			c.SetDeadline(time.Now().Add(10 * time.Minute))
			w := c.Wire(ctx)
			defer w.Release()
			if h, ok := p.(starttls.Host); ok {
				h.Serve(w, cfg.Hello, nil)
			}
		})
	}
}

// Close ends the servers and their sessions.
func (d *Demo) Close() {
	d.cancel()
	for _, l := range d.listeners {
		l.Close()
	}
	d.sessions.Wait()
}

// Check checks them all, a few at a time.
func (d *Demo) Check(ctx context.Context, o check.Options) []check.Result {
	o.Roots, o.Name = x509.NewCertPool(), Name
	o.Roots.AddCert(d.Root)
	out := make([]check.Result, len(d.Servers))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, s := range d.Servers {
		wg.Go(func() {
			slots <- struct{}{}
			out[i] = check.Run(ctx, s.Target, o)
			<-slots
		})
	}
	wg.Wait()
	return out
}

// Judge says how a result differs from what the server was made for; "" if it
// does not.
func (s Server) Judge(r check.Result) string {
	var bad []string
	for _, f := range r.Findings {
		if f.Severity != check.Info {
			bad = append(bad, f.ID)
		}
	}
	switch {
	case s.Want == "" && (len(bad) > 0 || r.Verdict != "ok"):
		return fmt.Sprintf("a healthy server got %q %s", r.Verdict, strings.Join(bad, ", "))
	case s.Want != "" && !slices.Equal(bad, []string{s.Want}):
		return fmt.Sprintf("wanted the finding %s alone, got %q %s", s.Want, r.Verdict, strings.Join(bad, ", "))
	}
	return ""
}
