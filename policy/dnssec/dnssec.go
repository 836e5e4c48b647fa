// Package dnssec looks up DNS records and says of each answer whether DNSSEC
// proved it. [At] makes a [Resolver] of a name server that the user names,
// [System] one of those in /etc/resolv.conf.
//
// It validates nothing itself: it asks a resolver that does, and believes its
// AD bit (RFC 6840, section 5.8) only where the resolver and the way to it are
// trusted (RFC 7672, section 2.1.1): because the user named it, or because it
// is on this machine. A forwarder on loopback, such as Docker's at 127.0.0.11,
// makes that bit worth no more than the network behind it: there, name the
// resolver.
//
// An answer that says that there is nothing is an answer, secure or not. What
// is bogus, and what could not be had, is an [Error]. Names are ASCII
// (A-labels), with or without a final dot.
package dnssec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Trust says why the AD bit of a resolver is believed, or that it is not.
type Trust int

const (
	Untrusted Trust = iota // across a network, from /etc/resolv.conf: nothing it says is secure
	Loopback               // on this machine
	Named                  // by the user
)

func (t Trust) String() string {
	return [...]string{"not trusted", "trusted: on loopback", "trusted: named by the user"}[t]
}

// Server is a resolver that is asked.
type Server struct {
	Addr  string // HOST:PORT
	Trust Trust
}

// Resolver asks its servers in turn until one answers. It is safe for
// concurrent use.
type Resolver struct {
	Servers []Server
	Timeout time.Duration // of one look-up, its CNAMEs included; 0: 10 s
}

// At returns a resolver that asks the server at addr, HOST or HOST:PORT, and
// trusts it.
func At(addr string) *Resolver {
	return &Resolver{Servers: []Server{{withPort(addr, "53"), Named}}}
}

// System returns a resolver that asks the name servers of /etc/resolv.conf. If
// one of them is on loopback, those alone are asked: else whoever could silence
// it would make every secure name look unsigned.
func System() (*Resolver, error) { return fromFile("/etc/resolv.conf") }

func fromFile(name string) (*Resolver, error) {
	conf, err := dns.ClientConfigFromFile(name)
	if err != nil {
		return nil, fmt.Errorf("which name server to ask: %w", err)
	}
	var local, all []Server
	for _, host := range conf.Servers {
		s := Server{Addr: net.JoinHostPort(host, conf.Port)}
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
			s.Trust = Loopback
			local = append(local, s)
		}
		all = append(all, s)
	}
	if len(local) > 0 {
		all = local
	}
	if len(all) == 0 {
		return nil, errors.New(name + " names no name server")
	}
	return &Resolver{Servers: all}, nil
}

func withPort(addr, port string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), port)
}

// Answer is what a name has of one type.
type Answer[T any] struct {
	Records  []T
	Name     string        // whose they are: the end of the CNAMEs, or the name asked for
	TTL      time.Duration // the shortest on the way; without records it means nothing
	Secure   bool          // all of it is proven by DNSSEC, that there is nothing too
	NXDomain bool          // Name does not exist at all; else it may have records of other types
	Server   Server        // who said so
}

// Error is a question without an answer to rely on.
type Error struct {
	Name, Type string
	Server     Server // that was asked last
	Bogus      bool   // there is an answer, but DNSSEC disproves it
	Err        error
}

func (e *Error) Error() string {
	return "looking up " + e.Type + " of " + e.Name + " at " + e.Server.Addr + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// MX looks up where mail for domain goes, best preference first. Hosts are
// without final dot; "." alone says that the domain takes no mail (RFC 7505).
func (r *Resolver) MX(ctx context.Context, domain string) (Answer[*net.MX], error) {
	a, err := records(ctx, r, domain, dns.TypeMX, func(rr *dns.MX) *net.MX { return &net.MX{Host: undot(rr.Mx), Pref: rr.Preference} })
	slices.SortStableFunc(a.Records, func(a, b *net.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	return a, err
}

// SRV looks up who serves at name, "_imap._tcp.example.org", best priority
// first, then greatest weight. Targets are without final dot; "." alone says
// that nobody does (RFC 2782).
func (r *Resolver) SRV(ctx context.Context, name string) (Answer[*net.SRV], error) {
	a, err := records(ctx, r, name, dns.TypeSRV, func(rr *dns.SRV) *net.SRV {
		return &net.SRV{Target: undot(rr.Target), Port: rr.Port, Priority: rr.Priority, Weight: rr.Weight}
	})
	slices.SortStableFunc(a.Records, func(a, b *net.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight))
	})
	return a, err
}

// Alias looks up the CNAME at name itself: one record or none.
func (r *Resolver) Alias(ctx context.Context, name string) (Answer[string], error) {
	return records(ctx, r, name, dns.TypeCNAME, func(rr *dns.CNAME) string { return undot(rr.Target) })
}

// CAA is a certification authority authorization (RFC 8659).
type CAA struct {
	Flag       uint8
	Tag, Value string
}

// CAA looks up the records that rule over certificates for domain: its own, or
// those of the nearest domain above it (RFC 8659, section 3). Answer.Secure is
// about all that was looked up on the way.
func (r *Resolver) CAA(ctx context.Context, domain string) (Answer[CAA], error) {
	secure := true
	for {
		a, err := records(ctx, r, domain, dns.TypeCAA, func(rr *dns.CAA) CAA { return CAA{rr.Flag, rr.Tag, rr.Value} })
		secure = secure && a.Secure
		a.Secure = secure
		_, above, more := strings.Cut(undot(domain), ".")
		if err != nil || len(a.Records) > 0 || !more {
			return a, err
		}
		domain = above
	}
}

// Addrs looks up the addresses of host. network is "ip", or "ip4" or "ip6" for
// one family. With "ip" it is enough that one family could be looked up, if it
// has addresses.
func (r *Resolver) Addrs(ctx context.Context, network, host string) (Answer[netip.Addr], error) {
	v4 := func() (Answer[netip.Addr], error) {
		return records(ctx, r, host, dns.TypeA, func(rr *dns.A) netip.Addr { ip, _ := netip.AddrFromSlice(rr.A.To4()); return ip })
	}
	v6 := func() (Answer[netip.Addr], error) {
		return records(ctx, r, host, dns.TypeAAAA, func(rr *dns.AAAA) netip.Addr { ip, _ := netip.AddrFromSlice(rr.AAAA); return ip })
	}
	switch network {
	case "ip4":
		return v4()
	case "ip6":
		return v6()
	}
	var a6 Answer[netip.Addr]
	var err6 error
	done := make(chan struct{})
	go func() { defer close(done); a6, err6 = v6() }()
	a, err := v4()
	<-done
	switch {
	case len(a.Records) == 0 && (err == nil || len(a6.Records) > 0):
		return a6, err6
	case len(a6.Records) == 0:
		return a, err
	}
	a.Records = append(a6.Records, a.Records...)
	a.Secure, a.TTL = a.Secure && a6.Secure, min(a.TTL, a6.TTL)
	return a, nil
}

// LookupTXT looks up the TXT records of name, the strings of each joined, in
// the form of [net.Resolver.LookupTXT]: that there is none is a *net.DNSError
// with IsNotFound.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a, err := records(ctx, r, name, dns.TypeTXT, func(rr *dns.TXT) string { return strings.Join(rr.Txt, "") })
	if err == nil && len(a.Records) == 0 {
		return nil, &net.DNSError{Err: "no TXT record", Name: name, Server: a.Server.Addr, IsNotFound: true}
	}
	return a.Records, err
}

// LookupRR looks up the records of any type, in their wire form (RFC 1035,
// section 3.3). canonical and secure are Answer's Name and Secure.
func (r *Resolver) LookupRR(ctx context.Context, name string, rrtype uint16) (rdata [][]byte, canonical string, secure bool, err error) {
	a, err := r.lookup(ctx, name, rrtype)
	for _, rr := range a.Records {
		b, err := wire(rr)
		if err != nil {
			return nil, a.Name, false, err
		}
		rdata = append(rdata, b)
	}
	return rdata, a.Name, a.Secure, err
}
