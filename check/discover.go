package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"example.org/starttls"
	"example.org/starttls/policy/dnssec"
	"example.org/starttls/protocol"
)

// Resolver is what Discover asks; *dnssec.Resolver is one.
type Resolver interface {
	MX(ctx context.Context, domain string) (dnssec.Answer[*net.MX], error)
	SRV(ctx context.Context, name string) (dnssec.Answer[*net.SRV], error)
	Addrs(ctx context.Context, network, host string) (dnssec.Answer[netip.Addr], error)
}

// Found is a service that was found for a domain.
type Found struct {
	Target
	Via  string // "MX 10", "SRV _imap._tcp", "autoconfig" or "port"
	Name string // whom the certificate must name
}

// ErrNothingFound: the domain has neither records that name services nor a host
// that answers at a usual port.
var ErrNothingFound = errors.New("no service was found: neither MX nor SRV records, and nothing answers at the usual ports")

// Discover finds the services of a domain: by MX, by SRV (RFC 2782, 6120, 6186,
// 8314), and by the autoconfig file that mail clients read. Where there is none
// of these, it tries the usual ports of all protocols at the name itself.
func Discover(ctx context.Context, domain string, r Resolver, o Options) ([]Found, error) {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, 2*o.Timeout)
	defer cancel()
	if net.ParseIP(domain) != nil {
		return openPorts(ctx, domain, o)
	}
	found, err := byRecords(ctx, domain, r, o)
	if err != nil || len(found) > 0 {
		return found, err
	}
	return openPorts(ctx, domain, o)
}

// byRecords asks all the records side by side. A failure of the look-up of MX is
// one of the whole: without it nothing could be told.
func byRecords(ctx context.Context, domain string, r Resolver, o Options) ([]Found, error) {
	type question struct {
		p        starttls.Protocol
		implicit bool
		service  string // "": MX
	}
	var questions []question
	for _, p := range protocol.All() {
		i := p.Info()
		if i.MX {
			questions = append(questions, question{p: p})
		}
		if i.SRV != "" {
			questions = append(questions, question{p, false, i.SRV})
		}
		if i.SRVImplicit != "" {
			questions = append(questions, question{p, true, i.SRVImplicit})
		}
	}
	answers := make([][]Found, len(questions)+1)
	failed := make([]error, len(questions))
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Go(func() {
			if q.service == "" {
				answers[i], failed[i] = byMX(ctx, domain, q.p, r)
			} else {
				answers[i] = bySRV(ctx, domain, q.service, q.p, q.implicit, r)
			}
		})
	}
	wg.Go(func() { answers[len(questions)] = autoconfig(ctx, domain, o) })
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	return unique(slices.Concat(answers...)), nil
}

func byMX(ctx context.Context, domain string, p starttls.Protocol, r Resolver) (out []Found, err error) {
	a, err := r.MX(ctx, domain)
	if err != nil {
		return nil, err
	}
	for _, mx := range a.Records {
		if mx.Host == "." { // the domain takes no mail (RFC 7505)
			return nil, nil
		}
		out = append(out, Found{Target{Protocol: p, Host: mx.Host, Port: p.Info().Port}, fmt.Sprintf("MX %d", mx.Pref), mx.Host})
	}
	return out, nil
}

func bySRV(ctx context.Context, domain, service string, p starttls.Protocol, implicit bool, r Resolver) (out []Found) {
	name := "_" + service + "._tcp"
	a, err := r.SRV(ctx, name+"."+domain)
	if err != nil {
		return nil
	}
	for _, s := range a.Records {
		if s.Target == "." { // decidedly not offered
			continue
		}
		f := Found{Target{Protocol: p, Implicit: implicit, Host: s.Target, Port: int(s.Port)}, "SRV " + name, s.Target}
		if p.Info().NamesDomain {
			f.Name = domain
		}
		out = append(out, f)
	}
	return out
}

// unique keeps the first of services that were found in several ways.
func unique(found []Found) (out []Found) {
	for _, f := range found {
		if !slices.ContainsFunc(out, func(g Found) bool { return f.String() == g.String() }) {
			out = append(out, f)
		}
	}
	return out
}

// openPorts tries the usual ports of all protocols at host.
func openPorts(ctx context.Context, host string, o Options) ([]Found, error) {
	dial := o.Dialer
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	var candidates []Found
	for _, p := range protocol.All() {
		i := p.Info()
		for _, port := range []int{i.Port, i.ImplicitTLS} {
			if q, implicit, ok := protocol.ByPort(port); ok && q.Info().Name == i.Name { // one protocol for a port
				candidates = append(candidates, Found{Target{Protocol: p, Implicit: implicit, Host: host, Port: port}, "port", host})
			}
		}
	}
	open := make([]bool, len(candidates))
	slots := make(chan struct{}, 8)
	var wg sync.WaitGroup
	var lookup sync.Once
	var unknown error
	for i, c := range candidates {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, min(o.Timeout, 2*time.Second))
			defer cancel()
			nc, err := dial(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(c.Port)))
			var dns *net.DNSError
			if errors.As(err, &dns) {
				lookup.Do(func() { unknown = err })
			}
			if open[i] = err == nil; open[i] {
				nc.Close()
			}
		})
	}
	wg.Wait()
	var out []Found
	for i, c := range candidates {
		if open[i] {
			out = append(out, c)
		}
	}
	if len(out) == 0 && unknown != nil {
		return nil, unknown
	}
	if len(out) == 0 {
		return nil, ErrNothingFound
	}
	return unique(out), nil
}
