// Package testdns serves small zones on loopback, for tests and the lab: either as a
// validating resolver would answer, with the outcome of validation given, or as
// the authoritative server of a zone that it signs with a key of its own, for a
// real resolver to validate.
package testdns

import (
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// State is how a zone answers.
type State int

const (
	Insecure State = iota // as a resolver, without AD
	Secure                // as a resolver that has validated: AD
	Bogus                 // as a resolver that has refuted: SERVFAIL, unless CD asks for the data all the same
	Lame                  // as a resolver that gets no answer: SERVFAIL
	Refused               // REFUSED
	Silent                // no answer at all
	Signed                // as its authoritative server: with RRSIG and NSEC
)

// Zone is a piece of the name space. Of nested ones the innermost answers, so
// that a single name can have a state of its own.
type Zone struct {
	Origin string
	State  State
	Text   string   // master file (RFC 1035, section 5); SOA, NS and a TTL of 300 are added
	Broken []string // names whose signatures have expired, in a Signed zone
}

// Server answers at Addr, over UDP and TCP, until it is closed. To names in
// none of its zones it answers REFUSED.
type Server struct {
	Addr string

	udp, tcp *dns.Server
	asked    func(name string)
	mu       sync.RWMutex
	zones    map[string]*zone // by origin
}

// New starts a server of the zones, at a free port of 127.0.0.1.
func New(zones ...Zone) (*Server, error) { return At("127.0.0.1:0", nil, zones...) }

// At starts a server of the zones at addr, where port 0 means a free one. asked,
// if not nil, is told of each name that is asked for.
func At(addr string, asked func(name string), zones ...Zone) (*Server, error) {
	s := &Server{asked: asked, zones: map[string]*zone{}}
	for _, z := range zones {
		parsed, err := parse(z)
		if err != nil {
			return nil, err
		}
		s.zones[parsed.origin] = parsed
	}
	packets, listener, err := listen(addr)
	if err != nil {
		return nil, err
	}
	s.Addr = packets.LocalAddr().String()
	var started sync.WaitGroup
	started.Add(2)
	s.udp = &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(s.serve), NotifyStartedFunc: started.Done}
	s.tcp = &dns.Server{Listener: listener, Handler: dns.HandlerFunc(s.serve), NotifyStartedFunc: started.Done}
	go s.udp.ActivateAndServe()
	go s.tcp.ActivateAndServe()
	started.Wait()
	return s, nil
}

// listen takes the same port for UDP and TCP.
func listen(addr string) (packets net.PacketConn, listener net.Listener, err error) {
	for range 100 {
		if packets, err = net.ListenPacket("udp", addr); err != nil {
			return nil, nil, err
		}
		if listener, err = net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			return packets, listener, nil
		}
		packets.Close()
	}
	return nil, nil, err
}

// Close ends the server.
func (s *Server) Close() {
	s.udp.Shutdown()
	s.tcp.Shutdown()
}

// Set puts records in the place of those of a type that a name has, or takes
// them away where text, in the form of a zone's, has none. The name is in one of
// the server's zones.
func (s *Server) Set(name string, rrtype uint16, text string) error {
	var rrset []dns.RR
	records := dns.NewZoneParser(strings.NewReader(text+"\n"), dns.Fqdn(name), "")
	for rr, ok := records.Next(); ok; rr, ok = records.Next() {
		rrset = append(rrset, rr)
	}
	if err := records.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name = dns.CanonicalName(name)
	z := s.zone(name)
	delete(z.rrsets[name], rrtype)
	if len(z.rrsets[name]) == 0 {
		delete(z.rrsets, name)
	}
	for _, rr := range rrset {
		z.add(rr)
	}
	return nil
}

// Anchor is the DS record of a signed zone, a resolver's trust anchor, with
// single blanks between its parts.
func (s *Server) Anchor(origin string) string {
	ds := s.zones[dns.CanonicalName(origin)].key.public.ToDS(dns.SHA256)
	return strings.Join(strings.Fields(ds.String()), " ")
}

// zone is a Zone read.
type zone struct {
	Zone
	origin string                         // canonical
	rrsets map[string]map[uint16][]dns.RR // by canonical name and type
	key    *key                           // of a signed zone
}

func parse(z Zone) (*zone, error) {
	p := &zone{Zone: z, origin: dns.CanonicalName(z.Origin), rrsets: map[string]map[uint16][]dns.RR{}}
	const apex = "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n"
	records := dns.NewZoneParser(strings.NewReader(apex+z.Text+"\n"), p.origin, "")
	for rr, ok := records.Next(); ok; rr, ok = records.Next() {
		if !dns.IsSubDomain(p.origin, rr.Header().Name) {
			return nil, fmt.Errorf("%s is outside of %s", rr.Header().Name, p.origin)
		}
		p.add(rr)
	}
	if err := records.Err(); err != nil || z.State != Signed {
		return p, err
	}
	var err error
	if p.key, err = newKey(p.origin); err != nil {
		return nil, err
	}
	p.add(p.key.public)
	return p, nil
}

func (z *zone) add(rr dns.RR) {
	name := dns.CanonicalName(rr.Header().Name)
	if z.rrsets[name] == nil {
		z.rrsets[name] = map[uint16][]dns.RR{}
	}
	t := rr.Header().Rrtype
	z.rrsets[name][t] = append(z.rrsets[name][t], rr)
}

// exists reports whether there is something at the name or below it.
func (z *zone) exists(name string) bool {
	for owner := range z.rrsets {
		if dns.IsSubDomain(name, owner) {
			return true
		}
	}
	return false
}

// soa is the zone's, which every denial carries.
func (z *zone) soa() dns.RR { return z.rrsets[z.origin][dns.TypeSOA][0] }
