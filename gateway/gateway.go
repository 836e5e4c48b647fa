// Package gateway puts STARTTLS in front of servers that have none, and behind
// clients that speak none:
//
//	g, err := gateway.New(cfg, logger)
//	err = g.Run(ctx)
//
// A listener of mode terminate has TLS towards its clients and hands their
// sessions to a backend; one of mode originate takes clients in clear and has
// TLS towards the server. Nothing that was said before TLS crosses to the other
// side: a backend's session begins after the handshake. One of mode guard has no
// TLS: it reads the cleartext phase that it passes on, and lets go on what has
// become TLS.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Gateway runs the listeners of a configuration.
type Gateway struct {
	log     *slog.Logger
	metrics *metrics

	mu       sync.Mutex
	cfg      Config
	services []*service
	issuer   *authority         // nil: all certificates are files
	sockets  map[string]*socket // by address
	given    map[string]net.Listener
	counts   map[string]*counter // by listener's name
	sessions map[*session]struct{}
	offers   map[string]bool // by protocol and backend: whether it offered TLS last, as far as a guard has seen
	status   *statusServer
	draining bool

	base    context.Context // of sessions; ends when they must
	stop    context.CancelCauseFunc
	running sync.WaitGroup // accept loops and sessions
}

// New checks cfg and reads the files it names. It opens no socket.
func New(cfg Config, log *slog.Logger) (*Gateway, error) {
	g := &Gateway{log: log, metrics: newMetrics(), sockets: map[string]*socket{}, given: map[string]net.Listener{},
		counts: map[string]*counter{}, sessions: map[*session]struct{}{}, offers: map[string]bool{}}
	g.base, g.stop = context.WithCancelCause(context.Background())
	var err error
	g.services, err = services(cfg, log)
	g.cfg = cfg
	return g, err
}

func services(cfg Config, log *slog.Logger) (out []*service, err error) {
	if len(cfg.Listeners) == 0 {
		return nil, errors.New("no listener")
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	names, taken := map[string]bool{}, map[string]string{}
	if cfg.Status != "" {
		taken[cfg.Status] = statusPage
	}
	if _, err := newAuthority(cfg.ACME); err != nil {
		return nil, err
	}
	common := append(slices.Clone(cfg.Certificates), cfg.ACME.certificates()...)
	for i, l := range cfg.Listeners {
		s, err := newService(l, common, log)
		if err != nil {
			return nil, fmt.Errorf("listener %d (%s): %w", i+1, cmp.Or(l.Name, l.Protocol, l.Dialogue), err)
		}
		if names[s.Name] {
			return nil, fmt.Errorf("listener %d: the name %q is taken", i+1, s.Name)
		}
		names[s.Name] = true
		for _, a := range l.Listen {
			for b, whose := range taken {
				if clash(a, b) || a == b && whose != statusPage {
					return nil, fmt.Errorf("listener %d (%s): %s is in the way of %s, of %s", i+1, s.Name, a, b, whose)
				}
			}
			taken[a] = s.Name
		}
		out = append(out, s)
	}
	return out, nil
}

const statusPage = "the status page"

// check is about what is no listener's.
func (cfg Config) check() error {
	if cfg.Status != "" {
		if err := checkAddress("status", cfg.Status); err != nil {
			return err
		}
	}
	switch {
	case cfg.Pprof && cfg.Status == "":
		return errors.New("pprof is a page of status, which is missing")
	case cfg.Pprof && !isLocal(cfg.Status):
		return fmt.Errorf("pprof is for loopback, and status is %s", cfg.Status)
	}
	return cmp.Or(checkTime("drain", cfg.Drain), checkTime("expiry_warn", cfg.ExpiryWarn))
}

// Inherit gives g sockets that are open by now, under the addresses of the
// configuration. Call it before Start; those that are not named there are closed.
func (g *Gateway) Inherit(sockets map[string]net.Listener) { g.given = sockets }

// Start opens the sockets and serves. On an error none stays open.
func (g *Gateway) Start() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.apply(g.services); err != nil {
		return err
	}
	for _, l := range g.given {
		l.Close()
	}
	g.given = nil
	return nil
}

// apply opens what is new, closes what is gone, and lets new connections find
// the new services. The caller holds mu.
func (g *Gateway) apply(services []*service) error {
	issuer, err := newAuthority(g.cfg.ACME)
	if err != nil {
		return err
	}
	opened, err := g.open(services)
	if err == nil {
		var status *statusServer
		if status, err = g.openStatus(); err == nil {
			g.status = status
		}
	}
	if err != nil {
		for _, s := range opened {
			s.Close()
		}
		return err
	}
	maps.Copy(g.sockets, opened)
	wanted := map[string]bool{}
	for _, s := range services {
		if g.counts[s.Name] == nil {
			g.counts[s.Name] = newCounter()
		}
		for _, addr := range s.Listen {
			wanted[addr] = true
			k := g.sockets[addr]
			if k.service.Swap(s) == nil {
				g.running.Go(func() { g.acceptLoop(k) })
			}
		}
	}
	for addr, k := range g.sockets {
		if !wanted[addr] {
			k.Close()
			delete(g.sockets, addr)
		}
	}
	g.services = services
	g.metrics.certificates(services)
	if !g.issuer.equal(issuer) {
		g.issuer.stop()
		g.issuer = issuer
		issuer.start(g.log, g.issued)
	}
	return nil
}

func (g *Gateway) open(services []*service) (map[string]*socket, error) {
	out := map[string]*socket{}
	for _, s := range services {
		for _, addr := range s.Listen {
			if g.sockets[addr] != nil {
				continue
			}
			l, ok := g.given[addr]
			if delete(g.given, addr); !ok {
				var err error
				if l, err = listen(addr); err != nil {
					return out, err
				}
			}
			out[addr] = &socket{Listener: l}
		}
	}
	return out, nil
}

// Reload takes a new configuration for all connections from now on. Sessions go
// on under the old one. On an error the old one stays.
func (g *Gateway) Reload(cfg Config) error {
	next, err := services(cfg, g.log)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.cfg
	g.cfg = cfg
	if err := g.apply(next); err != nil {
		g.cfg = old
		return err
	}
	return nil
}

// Addrs are the addresses that a listener's sockets have.
func (g *Gateway) Addrs(name string) (out []net.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.services {
		for _, addr := range s.Listen {
			if k := g.sockets[addr]; s.Name == name && k != nil {
				out = append(out, k.Addr())
			}
		}
	}
	return out
}

// Sockets are the open ones, by their addresses in the configuration.
func (g *Gateway) Sockets() map[string]net.Listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]net.Listener{}
	for addr, k := range g.sockets {
		out[addr] = k.Listener
	}
	if g.status != nil {
		out[g.status.addr] = g.status.Listener
	}
	return out
}

// Shutdown closes the sockets and waits for the sessions to end, for as long as
// the configuration's Drain; then it ends them. It returns how many those were.
func (g *Gateway) Shutdown() (cut int) {
	g.mu.Lock()
	g.draining = true
	for addr, k := range g.sockets {
		k.Close()
		delete(g.sockets, addr)
	}
	g.issuer.stop()
	g.issuer = nil
	drain, status := or(g.cfg.Drain, 30*time.Second), g.status
	g.mu.Unlock()
	ended := make(chan struct{})
	go func() { defer close(ended); g.running.Wait() }()
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		cut = g.cutAll()
		<-ended
	}
	g.stop(net.ErrClosed)
	if status != nil {
		status.Server.Close()
	}
	return cut
}

var errDrained = errors.New("the gateway ends, and the session did not in time")

// cutAll ends all sessions.
func (g *Gateway) cutAll() int {
	g.stop(errDrained)
	g.mu.Lock()
	all := slices.Collect(maps.Keys(g.sessions))
	g.mu.Unlock()
	for _, s := range all {
		if r := s.relay.Load(); r != nil {
			r.stop(errDrained)
		}
	}
	return len(all)
}
