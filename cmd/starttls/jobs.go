package main

import (
	"context"
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"

	"example.org/starttls/check"
	"example.org/starttls/protocol"

	"golang.org/x/net/idna"
)

// job is something to check: a target, or a domain whose services are to be
// found.
type job struct {
	target check.Target
	domain string
}

// lintCertificate lints certificates; nil where the command was built without
// the tag zlint.
var lintCertificate func(der []byte) []string

// hostName matches what can be a bare name: letters, digits and hyphens between
// dots, two labels at least.
var hostName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([A-Za-z0-9_-]+\.)+[A-Za-z0-9-]+\.?$`) })

// job reads a TARGET or a bare name.
func (n *network) job(s string) (job, error) {
	if !strings.Contains(s, "://") && n.dialogue == "" {
		name := strings.Trim(s, "[]")
		if ascii, err := idna.Lookup.ToASCII(s); err == nil && hostName().MatchString(ascii) {
			return job{domain: strings.TrimSuffix(ascii, ".")}, nil
		}
		if s == "localhost" || net.ParseIP(name) != nil {
			return job{domain: name}, nil
		}
	}
	t, err := n.target(s)
	return job{target: t}, err
}

// found is a service to check, and how it was found.
type found struct {
	check.Target
	via, name string
}

// checkAll checks the jobs side by side and keeps their order.
func (a *app) checkAll(ctx context.Context, n *network, o output, d depth, jobs []job, all bool) []check.Result {
	results := make([][]check.Result, len(jobs))
	opts := check.Options{Roots: n.roots, Given: n.given, Name: n.name, Names: n.names[min(1, len(n.names)):], Local: n.ehlo, Timeout: n.timeout, Dialer: n.dial, Transcript: o.transcript,
		Level: check.Level(d.level + 1), Full: d.full, Require: d.require, Profile: d.rules, Online: d.online, Lint: lintCertificate, MaxConnections: d.connections}
	progress := a.newProgress(o.quiet)
	defer progress.end()
	opts.Progress = progress.tell
	slots := make(chan struct{}, 8)
	sideBySide(len(jobs), func(i int) {
		if j := jobs[i]; j.domain == "" {
			results[i] = a.checkService(ctx, n, opts, slots, found{Target: j.target}, all)
		} else {
			results[i] = a.checkDomain(ctx, n, opts, slots, j.domain)
		}
	})
	return slices.Concat(results...)
}

// sideBySide calls do with each number below n, all at the same time, and with
// the last one in this goroutine: a single one needs no other.
func sideBySide(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n - 1 {
		wg.Go(func() { do(i) })
	}
	if n > 0 {
		do(n - 1)
	}
	wg.Wait()
}

// checkDomain finds the services of a domain and checks every address of each.
func (a *app) checkDomain(ctx context.Context, n *network, o check.Options, slots chan struct{}, domain string) []check.Result {
	r, err := n.records()
	var services []check.Found
	if err == nil {
		services, err = check.Discover(ctx, domain, r, o)
	}
	if err != nil { // the domain itself is what could not be told about
		r := unresolved(check.Target{Protocol: protocol.SMTP, Host: domain, Port: protocol.SMTP.Info().Port}, o, err)
		r.Target, r.Protocol, r.Address = domain, "", ""
		if errors.Is(err, check.ErrNothingFound) {
			r.Error.Hint = "name the service, as in imap://" + domain + ":1143"
		}
		return []check.Result{r}
	}
	o.Policies = check.FindPolicies(ctx, domain, r, o)
	results := make([][]check.Result, len(services))
	sideBySide(len(services), func(i int) {
		s := services[i]
		results[i] = a.checkService(ctx, n, o, slots, found{s.Target, s.Via, s.Name}, true)
	})
	return slices.Concat(results...)
}

// checkService checks one service, at all its addresses or the first.
func (a *app) checkService(ctx context.Context, n *network, o check.Options, slots chan struct{}, s found, all bool) []check.Result {
	if o.Name == "" {
		o.Name = s.name
	}
	addresses, err := n.addresses(ctx, s.Target, all)
	if err != nil {
		return []check.Result{unresolved(s.Target, o, err)}
	}
	results := make([]check.Result, len(addresses))
	sideBySide(len(addresses), func(i int) {
		slots <- struct{}{}
		defer func() { <-slots }()
		results[i] = check.Run(ctx, addresses[i], o)
		results[i].Via = s.via
	})
	check.CompareAddresses(results)
	return results
}

// unresolved is the result of a target whose name has no address.
func unresolved(t check.Target, o check.Options, err error) check.Result {
	o.Dialer = func(context.Context, string, string) (net.Conn, error) { return nil, err }
	return check.Run(context.Background(), t, o)
}
