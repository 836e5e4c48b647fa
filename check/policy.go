package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"example.org/starttls/policy"
	"example.org/starttls/policy/dane"
	"example.org/starttls/policy/dnssec"
	"example.org/starttls/policy/mtasts"
	"example.org/starttls/policy/tlsrpt"
)

// Policies are what a domain demands of those who connect to its services.
type Policies struct {
	Domain *policy.Domain // of mail; nil where the domain has no MX or the look-up failed
	Err    error          // why Domain could not be looked up
	CAA    []string       // who may issue certificates for the domain

	resolver *dnssec.Resolver
	asked    dnssec.Server // the last one
}

// FindPolicies looks up the policies of a domain: DANE, MTA-STS, TLSRPT, CAA.
func FindPolicies(ctx context.Context, domain string, r *dnssec.Resolver, o Options) *Policies {
	p := &Policies{resolver: r}
	f := &policy.Finder{DNS: r, STS: &mtasts.Client{Resolver: r, Roots: o.Roots, Dial: o.Dialer, Timeout: o.Timeout}}
	p.Domain, p.Err = f.Domain(ctx, domain)
	a, err := r.CAA(ctx, domain)
	p.asked = a.Server
	if err == nil {
		for _, c := range a.Records {
			p.CAA = append(p.CAA, c.Tag+" "+c.Value)
		}
	}
	return p
}

// bearing is what the policies say of one target.
type bearing struct {
	policies *Policies
	host     policy.Host // of a mail server
	mail     bool
	dane     *dane.Policy
}

// on finds what bears on a service that was found for the domain.
func (p *Policies) on(ctx context.Context, t Target) *bearing {
	b := &bearing{policies: p}
	if t.Protocol.Info().MX {
		if p.Domain == nil {
			return b
		}
		i := slices.IndexFunc(p.Domain.Hosts, func(h policy.Host) bool { return strings.EqualFold(h.Name, t.Host) })
		if i < 0 {
			return b
		}
		b.host, b.mail = p.Domain.Hosts[i], true
		b.dane = b.host.DANE
		return b
	}
	if net.ParseIP(t.Host) == nil && p.resolver != nil {
		b.dane = dane.Lookup(ctx, p.resolver, dane.Service{Host: t.Host, Port: uint16(t.Port), PKIX: true}) // RFC 7673
	}
	return b
}

// apply holds a result against the policies that bear on it.
func (r *run) apply(b *bearing) {
	r.Policy.CAA, r.Policy.Resolver = b.policies.CAA, b.policies.source()
	r.applyDANE(b)
	if !b.mail {
		return
	}
	d := policy.Effective(policy.May, b.host)
	r.Policy.Level, r.Policy.Reason = d.Level.String(), d.Reason
	if d.Defer { // the demand is there, and can not be met
		r.Policy.Level = policy.Secure.String()
		if b.dane != nil && b.dane.Demand == dane.Unreachable {
			r.Policy.Level = policy.DANE.String()
		}
	}
	if err := d.Verify(r.state(), r.options.Roots); err != nil {
		r.Policy.ResultType = string(tlsrpt.TypeOf(err))
	}
	r.applySTS(b)
	r.applyTLSRPT(b.policies.Domain)
	r.Policy.Senders = r.senders(b)
	if !r.bound() && r.Policy.Level == policy.May.String() {
		r.add("no-policy", "")
	}
}

// source is the resolver that answered, and whether what it says of DNSSEC is
// believed.
func (p *Policies) source() string {
	if p.asked.Addr == "" {
		return ""
	}
	s := p.asked.Addr + ", " + p.asked.Trust.String()
	if p.asked.Trust == dnssec.Untrusted {
		s += ": no record counts as proven by DNSSEC"
	}
	return s
}

// state is the first visit's handshake as a policy wants to see it; nil where
// there was none.
func (r *run) state() *tls.ConnectionState {
	if r.Outcome != Upgraded || len(r.served) == 0 {
		return nil
	}
	return &tls.ConnectionState{Version: r.version, HandshakeComplete: true, PeerCertificates: r.served}
}

func (r *run) applyDANE(b *bearing) {
	p := b.dane
	if p == nil {
		return
	}
	r.Policy.DANE = &DANE{Demand: p.Demand.String(), Base: p.Base, Reason: p.Reason, Records: []string{}, Publish: []string{}}
	for _, rec := range p.Records {
		r.Policy.DANE.Records = append(r.Policy.DANE.Records, rec.String())
	}
	if len(r.served) > 0 && len(p.Records) > 0 {
		matches, publish := dane.Compare(p.Records, !b.mail, r.chains()...)
		for _, rec := range publish {
			r.Policy.DANE.Publish = append(r.Policy.DANE.Publish, rec.String())
		}
		var idle []string
		for i, m := range matches {
			if len(m) == 0 {
				idle = append(idle, p.Records[i].String())
			}
		}
		if len(idle) > 0 && len(idle) < len(p.Records) {
			r.add("dane-idle-records", strings.Join(idle, "; "))
		}
	}
	switch p.Demand {
	case dane.Unreachable:
		r.add("dane-unreachable", p.Reason)
	case dane.Encrypt:
		r.add("dane-unusable", p.Reason)
	case dane.Authenticate:
		if len(r.served) == 0 {
			r.add("dane-no-tls", "")
			return
		}
		rec, err := p.Verify(r.served, r.options.Roots)
		if err != nil {
			advice := ""
			if len(r.Policy.DANE.Publish) > 0 {
				advice = "; for the certificate that is served, publish " + strings.Join(r.Policy.DANE.Publish, " and ")
			}
			r.add("dane-mismatch", err.Error()+advice)
			return
		}
		r.Policy.DANE.Matched = rec.String()
		if r.Outcome == Upgraded {
			r.Level = "dane"
		}
	}
}

// chains are those that the server was seen to serve, one for each kind of key.
func (r *run) chains() [][]*x509.Certificate {
	return append([][]*x509.Certificate{r.served}, r.otherChains...)
}

func (r *run) applySTS(b *bearing) {
	s := b.policies.Domain.STS
	if s.Policy == nil {
		if s.Err != nil && !errors.Is(s.Err, mtasts.ErrNoRecord) {
			r.Policy.MTASTS = &MTASTS{ID: s.ID, MX: []string{}, Error: s.Err.Error()}
			r.add("sts-broken", s.Err.Error())
		}
		return
	}
	p := s.Policy
	m := &MTASTS{Mode: string(p.Mode), ID: s.ID, MX: p.MX, MaxAge: int(p.MaxAge.Seconds()), Advice: p.Advice}
	r.Policy.MTASTS = m
	if p.Mode == mtasts.None {
		return
	}
	if p.MaxAge < 7*24*time.Hour {
		r.add("sts-short-lived", fmt.Sprintf("max_age is %d s", m.MaxAge))
	}
	if err := p.Check(b.host.Name, r.state(), r.options.Roots); err != nil {
		m.Error = err.Error()
		severity := find("sts-mismatch").severity[r.role()]
		if p.Mode == mtasts.Testing {
			severity = Medium
		}
		r.addAs(find("sts-mismatch"), severity, err.Error(), nil)
		return
	}
	if r.Level == "verify" {
		r.Level = "mta-sts"
	}
	if p.Mode == mtasts.Testing {
		r.add("sts-testing", "")
	}
}

func (r *run) applyTLSRPT(d *policy.Domain) {
	switch {
	case d.TLSRPTErr == nil:
		r.Policy.TLSRPT = d.TLSRPT.RUA
	case errors.Is(d.TLSRPTErr, tlsrpt.ErrNoRecord):
		r.add("tlsrpt-missing", "")
	default:
		r.add("tlsrpt-broken", d.TLSRPTErr.Error())
	}
}

// senders says what each kind of sender that the standards know would do here.
func (r *run) senders(b *bearing) []Sender {
	does := func(who string, local policy.Level, h policy.Host) Sender {
		d := policy.Effective(local, h)
		if d.Defer {
			return Sender{who, "waits", d.Reason}
		}
		if err := d.Verify(r.state(), r.options.Roots); err != nil {
			return Sender{who, "waits", err.Error()}
		}
		if r.state() == nil {
			return Sender{who, "delivers in clear", d.Reason}
		}
		return Sender{who, "delivers over TLS, level " + d.Level.String(), d.Reason}
	}
	plain, sts, dn := b.host, b.host, b.host
	plain.STS, plain.DANE, sts.DANE, dn.STS = nil, nil, nil, nil
	out := []Sender{
		does("opportunistic", policy.May, plain), does("MTA-STS", policy.May, sts), does("DANE", policy.DANE, dn), does("both", policy.May, b.host),
	}
	required := Sender{"REQUIRETLS", "refuses (5.7.30)", "the server does not list REQUIRETLS inside TLS"}
	if slices.ContainsFunc(r.StartTLS.After, func(c string) bool { return strings.EqualFold(c, "REQUIRETLS") }) {
		required = Sender{"REQUIRETLS", "delivers", "it is listed inside TLS, and the server is proven"}
		if r.Level != "dane" && r.Level != "mta-sts" {
			required = Sender{"REQUIRETLS", "refuses (5.7.10)", "neither DNSSEC nor MTA-STS proves the server"}
		}
	}
	return append(out, required)
}

// bound reports whether a policy keeps senders from cleartext.
func (r *run) bound() bool {
	return r.Level == "dane" || r.Level == "mta-sts" && r.Policy.MTASTS != nil && r.Policy.MTASTS.Mode == string(mtasts.Enforce)
}
