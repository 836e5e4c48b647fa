package testdns

import (
	"bytes"
	"crypto"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// key signs a zone.
type key struct {
	public *dns.DNSKEY
	signer crypto.Signer
}

func newKey(origin string) (*key, error) {
	k := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: origin, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := k.Generate(256)
	if err != nil {
		return nil, err
	}
	return &key{k, private.(crypto.Signer)}, nil
}

// authoritative fills in the reply to a question about a name in the zone, with
// signatures and proofs if do.
func (z *zone) authoritative(reply *dns.Msg, name string, rrtype uint16, do bool) {
	if rrset, _ := z.find(name, rrtype); len(rrset) > 0 {
		reply.Answer = z.signed(rrset, do)
		return
	}
	reply.Ns = z.signed([]dns.RR{z.soa()}, do)
	covered := []string{name}
	if !z.exists(name) {
		reply.Rcode = dns.RcodeNameError
		closest := name
		for !z.exists(closest) {
			next, _ := dns.NextLabel(closest, 0)
			closest = closest[next:]
		}
		covered = append(covered, "*."+closest)
	}
	if !do {
		return
	}
	var proofs []string
	for _, c := range covered {
		owner, nsec := z.nsec(c)
		if !slices.Contains(proofs, owner) {
			proofs = append(proofs, owner)
			reply.Ns = append(reply.Ns, z.signed([]dns.RR{nsec}, do)...)
		}
	}
}

// nsec is the NSEC record of name or, if there is none, of its predecessor,
// which proves that it does not exist (RFC 4034, section 4).
func (z *zone) nsec(name string) (owner string, rr *dns.NSEC) {
	var owners []string
	for o := range z.rrsets {
		owners = append(owners, o)
	}
	slices.SortFunc(owners, canonicalOrder)
	i, found := slices.BinarySearchFunc(owners, name, canonicalOrder)
	if !found {
		i-- // never below 0: the apex comes first
	}
	owner = owners[i]
	types := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
	for t := range z.rrsets[owner] {
		types = append(types, t)
	}
	slices.Sort(types)
	return owner, &dns.NSEC{
		Hdr:        dns.RR_Header{Name: owner, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 300},
		NextDomain: owners[(i+1)%len(owners)], TypeBitMap: types,
	}
}

// canonicalOrder compares names label by label from the root (RFC 4034, section
// 6.1).
func canonicalOrder(a, b string) int {
	x, y := dns.SplitDomainName(a), dns.SplitDomainName(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.CompareFunc(x, y, func(a, b string) int { return bytes.Compare([]byte(a), []byte(b)) })
}

// signed appends to the records of one name and type their signature.
func (z *zone) signed(rrset []dns.RR, do bool) []dns.RR {
	if !do {
		return rrset
	}
	h := rrset[0].Header()
	now := time.Now()
	from, until := now.Add(-time.Hour), now.Add(time.Hour)
	if slices.ContainsFunc(z.Broken, func(n string) bool { return dns.CanonicalName(n) == dns.CanonicalName(h.Name) }) {
		from, until = now.Add(-3*time.Hour), now.Add(-2*time.Hour)
	}
	sig := &dns.RRSIG{
		Algorithm: z.key.public.Algorithm, KeyTag: z.key.public.KeyTag(), SignerName: z.origin,
		Inception: uint32(from.Unix()), Expiration: uint32(until.Unix()),
	}
	if err := sig.Sign(z.key.signer, rrset); err != nil {
		panic(err) // the records were read by the library that signs them
	}
	return append(rrset, sig)
}
