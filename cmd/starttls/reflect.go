package main

import (
	"context"
	"net"

	"example.org/starttls/check"
	"example.org/starttls/protocol"
)

// checkPaths checks the paths to a reflector: those that are targets, or, without
// any, to all that it serves.
func (a *app) checkPaths(ctx context.Context, n *network, reflector string, jobs []job) ([]check.Result, error) {
	other, err := check.ParseReflector(reflector)
	if err != nil {
		return nil, usagef(`it is what "starttls lab reflect" prints on the other host`, "--reflect: %v", err)
	}
	if err := n.readOwn(); err != nil {
		return nil, err
	}
	protocols := protocol.All()
	if n.own != nil {
		protocols = append(protocols, n.own)
	}
	host, _, _ := net.SplitHostPort(other.Addr())
	opts := check.Options{Name: n.name, Local: n.ehlo, Timeout: n.timeout, Dialer: n.dial}
	ports, err := other.Services(ctx, opts)
	if err != nil { // the reflector itself is what could not be told about
		r := unresolved(check.Target{Protocol: protocol.SMTP, Host: host}, opts, err)
		r.Target, r.Protocol, r.Address = "reflector at "+other.Addr(), "", other.Addr()
		r.Error.Hint = "is the reflector running, and is this the token that it printed?"
		return []check.Result{r}, nil
	}
	var targets []check.Target
	for _, p := range protocols {
		if port, served := ports[p.Info().Name]; served && len(jobs) == 0 {
			targets = append(targets, check.Target{Protocol: p, Host: host, Port: port})
		}
	}
	for _, j := range jobs {
		if j.domain != "" || j.target.Implicit || ports[j.target.Protocol.Info().Name] == 0 {
			return nil, usagef("as in smtp://"+host+":PORT, with a protocol that the reflector serves", "with --reflect a target is a way to the reflector")
		}
		targets = append(targets, j.target)
	}
	results := make([]check.Result, len(targets))
	slots := make(chan struct{}, 8)
	sideBySide(len(targets), func(i int) {
		slots <- struct{}{}
		defer func() { <-slots }()
		results[i] = check.Reflect(ctx, targets[i], opts, other)
	})
	return results, nil
}
