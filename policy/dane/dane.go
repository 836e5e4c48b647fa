// Package dane finds the TLSA records of a server and authenticates it by them
// (RFC 6698, 7671): [Lookup], then [Policy.Verify] with the certificates that
// it served.
//
// It is made for SMTP between mail servers (RFC 7672), and does for services
// found by SRV or by name as well (RFC 7673). It needs a [Resolver] that
// validates, over a path that cannot be tampered with.
package dane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// A Resolver answers one question, with CNAMEs followed. Whoever uses this
// package brings it.
type Resolver interface {
	// LookupRR returns the records of a type in wire form, none if there are
	// none; the name whose they are, without final dot; and whether DNSSEC
	// proved all of this. An error says that the answer is bogus or could not
	// be had.
	LookupRR(ctx context.Context, name string, rrtype uint16) (rdata [][]byte, canonical string, secure bool, err error)
}

// The types that are asked for.
const (
	typeA     = 1
	typeCNAME = 5
	typeAAAA  = 28
	typeTLSA  = 52
)

// Service is a server to connect to, over TCP.
type Service struct {
	Host string // its name: from an MX or SRV record, or as configured
	Port uint16

	// Names are those by which Host was found in secure ways: the domain of
	// the MX or SRV records, and where its CNAMEs lead. The certificate may bear
	// one of them instead (RFC 7672, section 3.2.2). If the MX or SRV records
	// are insecure there are none.
	Names []string

	PKIX bool // usages 0 and 1 count too; not for SMTP between mail servers
}

// Demand is what the records ask of a connection.
type Demand int

const (
	None         Demand = iota // nothing: there are no secure records
	Encrypt                    // TLS; there are records, but none is usable. Not for SMTP: and PKIX as without DANE (RFC 7673, section 4.1)
	Authenticate               // TLS with a certificate for which Verify returns nil
	Unreachable                // no connection: a record may be hidden (RFC 7672, section 2.1.2)
)

// String is Postfix's word for it where it has one.
func (d Demand) String() string { return [...]string{"none", "encrypt", "dane", "tempfail"}[d] }

// Policy is what was found of a service.
type Policy struct {
	Demand  Demand
	Base    string   // TLSA base domain, to be sent as SNI too; empty if there are no records
	Names   []string // that the certificate may bear, where the usage asks for a name: Base first
	Records []Record // as published
	Reason  string   // for people: why Demand is what it is
	Err     error    // if Unreachable

	pkix bool
}

// Lookup finds the TLSA records of a service: at the end of its CNAMEs if all
// the way is secure, else, and failing that, at its own name (RFC 7672, section
// 2.2). Addresses are looked up first, because servers of unsigned zones may
// mistreat questions for TLSA.
func Lookup(ctx context.Context, r Resolver, s Service) *Policy {
	host := strings.ToLower(strings.TrimSuffix(s.Host, "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return &Policy{Reason: "an address has no TLSA records"}
	}
	bases, why, err := candidates(ctx, r, host)
	if err != nil {
		return unreachable(err)
	}
	for _, base := range bases {
		name := fmt.Sprintf("_%d._tcp.%s", s.Port, base)
		rdata, _, secure, err := r.LookupRR(ctx, name, typeTLSA)
		switch {
		case err != nil:
			return unreachable(err)
		case len(rdata) == 0:
			why = "there is no TLSA record at " + name
		case !secure:
			why = "the TLSA records at " + name + " are not signed"
		default:
			return policy(s, base, name, rdata)
		}
	}
	return &Policy{Reason: why}
}

// candidates returns the names that may be the base domain, the best first, or
// why there are none.
func candidates(ctx context.Context, r Resolver, host string) (bases []string, why string, err error) {
	a4, name, secure, err := r.LookupRR(ctx, host, typeA)
	a6, name6, secure6, err6 := r.LookupRR(ctx, host, typeAAAA)
	if len(a4) == 0 && (len(a6) > 0 || err == nil) {
		name, secure, err = name6, secure6, err6
	} else if len(a6) > 0 {
		secure = secure && secure6
	}
	if err != nil {
		return nil, "", err
	}
	if len(a4)+len(a6) == 0 {
		return nil, "", errors.New(host + " has no address")
	}
	alias := name != "" && !strings.EqualFold(name, host)
	if secure && alias {
		return []string{strings.ToLower(name), host}, "", nil
	}
	if !secure && alias { // the alias itself may be signed (RFC 7672, section 2.1.3)
		rdata, _, secureAlias, err := r.LookupRR(ctx, host, typeCNAME)
		if err != nil {
			return nil, "", err
		}
		secure = secureAlias && len(rdata) > 0
	}
	if secure {
		return []string{host}, "", nil
	}
	return nil, "the zone of " + host + " is not signed", nil
}

func unreachable(err error) *Policy {
	return &Policy{Demand: Unreachable, Reason: "whether there are TLSA records could not be told: " + err.Error(), Err: err}
}

// policy reads secure records.
func policy(s Service, base, name string, rdata [][]byte) *Policy {
	p := &Policy{Base: base, Names: []string{base}, Demand: Encrypt, pkix: s.PKIX,
		Reason: "none of the TLSA records at " + name + " is usable"}
	for _, n := range s.Names {
		if n = strings.ToLower(strings.TrimSuffix(n, ".")); n != base {
			p.Names = append(p.Names, n)
		}
	}
	for _, b := range rdata {
		rec, err := ParseRecord(b)
		if err != nil { // RFC 7672, section 2.1.1: as any malformed answer
			return unreachable(fmt.Errorf("%s: %w", name, err))
		}
		p.Records = append(p.Records, rec)
		if rec.Usable(s.PKIX) == nil {
			p.Demand, p.Reason = Authenticate, "there are TLSA records at "+name
		}
	}
	return p
}
