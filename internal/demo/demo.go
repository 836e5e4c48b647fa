// Package demo runs servers of every protocol on loopback, healthy ones and
// some with a fault each, made of the library's server halves.
package demo

import (
	"cmp"
	"context"
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
	Fault   string // "" for a healthy one
	Target  check.Target
	Want    []string      // the findings it must get, worse than info
	Also    []string      // those that may follow from its fault, depending on who is faster
	Level   check.Level   // of the tests that it takes to see what is wrong with it
	Outcome check.Outcome // how the attempt to upgrade it must end
}

// Demo is all of them, running.
type Demo struct {
	Root      *x509.Certificate // of the throw-away authority they trust
	Servers   []Server
	cancel    context.CancelFunc
	listeners []net.Listener
	sessions  sync.WaitGroup
}

// Start starts the servers; with all, those too whose check takes long. The
// faults that any protocol may have are shown in those named, each in turn; with
// none named, in all that have room for them. Close the servers.
func Start(ctx context.Context, all bool, shown ...starttls.Protocol) (*Demo, error) {
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
	if len(shown) == 0 {
		shown = victims()
	}
	list := faults
	if all {
		tls, err := flawedTLS(ca)
		if err != nil {
			d.Close()
			return nil, err
		}
		list = slices.Concat(faults, tls)
	}
	for i, f := range list {
		if f.served && !all {
			continue
		}
		p := shown[i%len(shown)]
		if f.protocol != nil {
			p = f.protocol
		}
		if err := d.serve(ctx, ca, p, f); err != nil {
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
	if p.Info().MX { // a public mail exchanger must not require TLS
		cfg.Offer.Mode = starttls.Optional
	}
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
	if f.serve != nil {
		d.listeners = append(d.listeners, tcp)
		d.sessions.Go(func() { d.connectionsOf(ctx, tcp, func(nc net.Conn) { f.serve(ctx, nc, p, cfg) }) })
	} else {
		l := starttls.NewListener(tcp, p, cfg)
		d.listeners = append(d.listeners, l)
		d.sessions.Go(func() {
			d.connectionsOf(ctx, l, func(nc net.Conn) {
				w := nc.(*starttls.Conn).Wire(ctx)
				defer w.Release()
				p.(starttls.Host).Serve(w, cfg.Hello, nil)
			})
		})
	}
	port := tcp.Addr().(*net.TCPAddr).Port
	at := check.Target{Protocol: p, Host: "127.0.0.1", Port: port, Address: tcp.Addr().String()}
	d.Servers = append(d.Servers, Server{f.name, at, f.want, f.also, f.level(), cmp.Or(f.outcome, check.Upgraded)})
	return nil
}

// connectionsOf serves the connections of a listener until it is closed.
func (d *Demo) connectionsOf(ctx context.Context, l net.Listener, serve func(net.Conn)) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		d.sessions.Go(func() {
			defer nc.Close()
			defer context.AfterFunc(ctx, func() { nc.Close() })()
			nc.SetDeadline(time.Now().Add(10 * time.Minute))
			serve(nc)
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
			o := o
			o.Level = cmp.Or(o.Level, s.Level)
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
	var bad, missing, strange []string
	for _, f := range r.Findings {
		if f.Severity != check.Info {
			bad = append(bad, f.ID)
		}
	}
	for _, id := range s.Want {
		if !slices.Contains(bad, id) {
			missing = append(missing, id)
		}
	}
	for _, id := range bad {
		if !slices.Contains(s.Want, id) && !slices.Contains(s.Also, id) {
			strange = append(strange, id)
		}
	}
	switch {
	case len(missing)+len(strange) > 0:
		return fmt.Sprintf("wanted the findings [%s], got %q [%s]", strings.Join(s.Want, ", "), r.Verdict, strings.Join(bad, ", "))
	case r.Outcome != s.Outcome:
		return fmt.Sprintf("wanted the outcome %s, got %s", s.Outcome, r.Outcome)
	}
	return ""
}
