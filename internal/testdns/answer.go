package testdns

import (
	"net"
	"slices"

	"github.com/miekg/dns"
)

func (s *Server) serve(w dns.ResponseWriter, q *dns.Msg) {
	if len(q.Question) != 1 {
		return
	}
	if s.asked != nil {
		s.asked(dns.CanonicalName(q.Question[0].Name))
	}
	s.mu.RLock()
	reply := s.answer(q)
	s.mu.RUnlock()
	if reply == nil {
		return
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		reply.Truncate(size)
	}
	w.WriteMsg(reply)
}

// zone returns the innermost zone that holds name, or nil.
func (s *Server) zone(name string) *zone {
	var best *zone
	for origin, z := range s.zones {
		if dns.IsSubDomain(origin, name) && (best == nil || len(origin) > len(best.origin)) {
			best = z
		}
	}
	return best
}

// answer makes the reply; nil means silence.
func (s *Server) answer(q *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(q)
	opt := q.IsEdns0()
	if opt != nil {
		reply.SetEdns0(dns.DefaultMsgSize, opt.Do())
	}
	question := q.Question[0]
	name := dns.CanonicalName(question.Name)
	z := s.zone(name)
	if z != nil && z.State == Signed {
		reply.Authoritative = true
		z.authoritative(reply, name, question.Qtype, opt != nil && opt.Do())
		return reply
	}
	reply.RecursionAvailable = true
	reply.AuthenticatedData = true
	for range 20 { // CNAMEs, from zone to zone
		switch {
		case z == nil || z.State == Refused:
			return reply.SetRcode(q, dns.RcodeRefused)
		case z.State == Signed: // whoever asks goes on from the CNAME that leads there
			return reply
		case z.State == Silent:
			return nil
		case z.State == Lame:
			return reply.SetRcode(q, dns.RcodeServerFailure)
		case z.State == Bogus && !q.CheckingDisabled:
			if opt != nil {
				o := reply.IsEdns0()
				o.Option = append(o.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus})
			}
			return reply.SetRcode(q, dns.RcodeServerFailure)
		}
		reply.AuthenticatedData = reply.AuthenticatedData && z.State == Secure
		rrset, alias := z.find(name, question.Qtype)
		reply.Answer = append(reply.Answer, rrset...)
		if alias == "" {
			if len(rrset) == 0 {
				reply.Ns = []dns.RR{z.soa()}
				if !z.exists(name) {
					reply.Rcode = dns.RcodeNameError
				}
			}
			return reply
		}
		name = alias
		z = s.zone(name)
	}
	return reply
}

// find returns the records of a type at name. If there is a CNAME instead, that
// is returned, and where it leads.
func (z *zone) find(name string, rrtype uint16) (rrset []dns.RR, alias string) {
	if rrset = z.rrsets[name][rrtype]; len(rrset) > 0 {
		return slices.Clone(rrset), ""
	}
	if c := z.rrsets[name][dns.TypeCNAME]; len(c) > 0 {
		return slices.Clone(c), dns.CanonicalName(c[0].(*dns.CNAME).Target)
	}
	return nil, ""
}
