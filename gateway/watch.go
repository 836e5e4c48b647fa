package gateway

import (
	"context"
	"slices"
	"time"
)

// certsEvery is how often certificates are looked at.
const certsEvery = 10 * time.Second

// Watch sees to certificates until ctx ends: it reads again those whose files
// have changed, and warns of those that end soon. A file that is not in order
// changes nothing.
func (g *Gateway) Watch(ctx context.Context) {
	t := time.NewTicker(certsEvery)
	defer t.Stop()
	for round := 0; ; round++ {
		g.watchCerts(round)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// issued reads at once what ACME has just written.
func (g *Gateway) issued() { g.watchCerts(1) }

func (g *Gateway) watchCerts(round int) {
	g.mu.Lock()
	services, warn := slices.Clone(g.services), or(g.cfg.ExpiryWarn, 14*24*time.Hour)
	g.mu.Unlock()
	for _, s := range services {
		s.watchCerts(round, warn)
	}
	g.metrics.certificates(services)
}

func (s *service) watchCerts(round int, warn time.Duration) {
	const hourly, daily = int(time.Hour / certsEvery), int(24 * time.Hour / certsEvery)
	if s.certs == nil {
		return
	}
	if s.certs.changed() || s.certs.fetches() && round%hourly == hourly-1 {
		if err := s.certs.reload(); err != nil {
			s.log.Error("certificates stay as they were", "err", err)
		} else {
			s.log.Info("certificates read again")
		}
	}
	if round%daily == 0 {
		s.certs.check(warn)
	}
}
