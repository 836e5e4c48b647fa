package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"example.org/starttls"
	"example.org/starttls/policy"
	"example.org/starttls/policy/dane"
	"example.org/starttls/policy/dnssec"
	"example.org/starttls/policy/mtasts"
)

// The words of backend.verify.
const (
	verifyPKIX = "pkix"
	verifyDANE = "dane"
	verifySTS  = "mta-sts"
)

// verifier is what the backend's certificate is judged by where the DNS says
// that: by DANE, or by MTA-STS besides its authority.
type verifier struct {
	dns    *dnssec.Resolver
	sts    *mtasts.Client // nil: DANE
	host   string
	port   uint16
	dialer net.Dialer             // asks the resolver that is named
	said   atomic.Pointer[string] // what was last warned of
}

// newVerifier returns nil where the certificate's authority or pinned keys are
// all that counts.
func newVerifier(b *Backend, info starttls.Info, limit time.Duration) (v *verifier, err error) {
	switch b.Verify {
	case "", verifyPKIX:
		if b.Resolver != "" || b.Domain != "" {
			return nil, errors.New("backend.resolver and domain are of use with verify = dane or mta-sts alone")
		}
		return nil, nil
	case verifyDANE, verifySTS:
	default:
		return nil, fmt.Errorf("backend.verify is pkix, dane or mta-sts, not %q", b.Verify)
	}
	v = &verifier{}
	host, port, err := net.SplitHostPort(b.Address)
	number, err2 := strconv.ParseUint(port, 10, 16)
	if _, ip := netip.ParseAddr(host); err != nil || err2 != nil || ip == nil {
		return nil, fmt.Errorf("backend.verify = %s needs a server's name and port in address: HOST:PORT", b.Verify)
	}
	v.host, v.port = strings.TrimSuffix(host, "."), uint16(number)
	if len(b.Pins) > 0 {
		return nil, fmt.Errorf("backend.pins have no place beside verify = %s", b.Verify)
	}
	if err := v.resolver(b.Resolver); err != nil {
		return nil, err
	}
	if b.Verify == verifyDANE {
		return v, v.forDANE(b)
	}
	if !info.MX || b.Domain == "" {
		return nil, errors.New("backend.verify = mta-sts is for mail between servers, and needs backend.domain: whose mail the server takes")
	}
	// A fetch that fails within the time for it is not tried again at once.
	v.sts = &mtasts.Client{Resolver: v.dns, Dial: v.dialer.DialContext, Cache: &mtasts.Cache{}, Timeout: limit / 2}
	return v, nil
}

func (v *verifier) resolver(addr string) (err error) {
	if addr == "" {
		v.dns, err = dnssec.System()
		return err
	}
	v.dns = dnssec.At(addr)
	at := v.dns.Servers[0].Addr
	if _, err := netip.ParseAddrPort(at); err != nil {
		return fmt.Errorf("backend.resolver %q is no address: 127.0.0.1:53", addr)
	}
	v.dialer = dialer
	v.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at)
	}}
	return nil
}

// forDANE refuses what could never verify anything.
func (v *verifier) forDANE(b *Backend) error {
	if b.Domain != "" {
		return errors.New("backend.domain is for verify = mta-sts: DANE goes by the server's name")
	}
	if v.dns.Servers[0].Trust == dnssec.Untrusted {
		return errors.New("backend.verify = dane needs a resolver that validates, and none of /etc/resolv.conf is on this machine: name one that you trust with backend.resolver")
	}
	return nil
}

// judge makes of cfg what a connection must be by what the DNS says now, and
// returns the word for the level that it has then; "" if that is cfg's own. It is
// asked for each session: the resolver keeps what may be kept.
func (v *verifier) judge(ctx context.Context, s *service, cfg *starttls.Config) (level string, err error) {
	if v.sts != nil {
		return v.judgeSTS(ctx, s, or(cfg.ServerName, v.host))
	}
	names := []string{v.host} // both are the configuration's own words, which is as secure as it gets
	if cfg.ServerName != "" {
		names = append(names, cfg.ServerName)
	}
	h := policy.Host{Name: v.host, MXSecure: true,
		DANE: dane.Lookup(ctx, v.dns, dane.Service{Host: v.host, Port: v.port, Names: names, PKIX: !s.info.MX})}
	d := policy.Effective(policy.DANEOnly, h)
	if d.Defer {
		return "", errors.New("no connection: " + d.Reason)
	}
	cfg.ServerName = or(cfg.ServerName, d.ServerName())
	cfg.TLS = cfg.TLS.Clone()
	// The records alone say what is right, and can change before a session to be
	// resumed ends.
	cfg.TLS.InsecureSkipVerify, cfg.TLS.ClientSessionCache = true, nil
	roots := cfg.TLS.RootCAs
	cfg.TLS.VerifyConnection = func(state tls.ConnectionState) error { return d.Verify(&state, roots) }
	return verifyDANE, nil
}

// judgeSTS holds the host's name against the policy of the domain. TLS with a
// certificate for that name is demanded by the gateway itself, so nothing else is
// left of a policy in mode enforce; of one being tested, or of none, nothing (RFC
// 8461, section 5).
func (v *verifier) judgeSTS(ctx context.Context, s *service, name string) (level string, err error) {
	state := v.sts.Get(ctx, s.Backend.Domain)
	p, note := state.Policy, ""
	switch {
	case p == nil:
		note = "there is none"
	case p.Mode == mtasts.Testing && !p.Match(name):
		note = "it is only being tested, and does not name " + name
	case p.Mode != mtasts.Enforce:
		note = "it is in mode " + string(p.Mode)
	case !p.Match(name):
		return "", fmt.Errorf("no connection: the MTA-STS policy of %s does not name %s", s.Backend.Domain, name)
	default:
		level = verifySTS
	}
	if state.Err != nil {
		note += "; it could not be had anew: " + state.Err.Error()
	}
	if old := v.said.Swap(&note); note != "" && (old == nil || *old != note) {
		s.log.Warn("the backend's MTA-STS policy", "domain", s.Backend.Domain, "note", strings.TrimPrefix(note, "; "), "level", or(level, "verify"))
	}
	return level, nil
}
