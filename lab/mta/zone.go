package mta

import (
	"fmt"
	"strconv"
	"strings"

	"example.org/starttls/internal/testdns"

	"github.com/miekg/dns"
)

// The zones that the domains are in. Only the first is signed.
const (
	SignedZone   = "lab.test"
	UnsignedZone = "unsigned.test"
)

// reportsDomain is where reports are to be sent.
const reportsDomain = "reports." + SignedZone

// domain is the mail domain of the case.
func (c Case) domain() string {
	if c.unsigned {
		return c.ID + "." + UnsignedZone
	}
	return c.ID + "." + SignedZone
}

// nameOf is the full name of a server of the case.
func (c Case) nameOf(h host) string {
	name := h.name
	if name == "" {
		name = "mx"
	}
	if h.open {
		return name + "." + c.ID + "." + UnsignedZone
	}
	return name + "." + c.ID + "." + SignedZone
}

// zones are the texts of both zones.
type zones struct{ signed, unsigned strings.Builder }

// of is where a name has its records.
func (z *zones) of(name string) *strings.Builder {
	if dns.IsSubDomain(UnsignedZone+".", name+".") {
		return &z.unsigned
	}
	return &z.signed
}

func (z *zones) add(name, format string, args ...any) {
	fmt.Fprintf(z.of(name), "%s. %s\n", name, fmt.Sprintf(format, args...))
}

// records adds what the DNS has of a site.
func (z *zones) records(s *site, port int) {
	for i, m := range s.hosts {
		h := s.stages[0].hosts[i]
		z.add(m.name, "A %s", m.ip)
		mx := m.name
		if h.mx != "" {
			mx = h.mx + "." + s.domain
		}
		z.add(s.domain, "MX %d %s.", 10*(i+1), mx)
		for _, r := range h.tlsa {
			z.add("_"+strconv.Itoa(port)+"._tcp."+m.name, "TLSA %s", m.words.Replace(r))
		}
	}
	if s.zone != "" {
		text := strings.NewReplacer("$", s.domain+".", "%", strconv.Itoa(port)).Replace(s.zone)
		z.of(s.domain).WriteString(s.hosts[0].words.Replace(text) + "\n")
	}
	if s.stages[0].sts.record != "" || len(s.stages) > 1 {
		z.add("mta-sts."+s.domain, "A %s", s.hosts[0].ip)
	}
	z.of(s.domain).WriteString(s.stsRecord(0))
}

// stsRecord is the text of the record that says which MTA-STS policy there is. It
// is in nobody's cache, since it changes.
func (s *site) stsRecord(stage int) string {
	var b strings.Builder
	for id := range strings.FieldsSeq(s.stages[stage].sts.record) {
		fmt.Fprintf(&b, "%s. 0 IN TXT \"v=STSv1; id=%s;\"\n", s.stsName(), id)
	}
	return b.String()
}

func (s *site) stsName() string { return "_mta-sts." + s.domain }

// serveDNS starts both name servers: the one that has the zones, and one that
// answers as a resolver that has validated them.
func (l *Lab) serveDNS(o Options) (err error) {
	z := &zones{}
	z.add(reportsDomain, "A %s", l.reports.ip)
	z.add(reportsDomain, "MX 10 %s.", reportsDomain)
	var faults []testdns.Zone
	var broken []string
	for _, s := range l.sites {
		z.records(s, l.Port)
		if s.report != "" {
			z.add("_smtp._tls."+s.domain, "TXT \"v=TLSRPTv1; rua=%s\"", l.reportURI(s.report))
		}
		name := strings.NewReplacer("$", s.domain, "%", strconv.Itoa(l.Port))
		for _, n := range s.broken {
			broken = append(broken, name.Replace(n))
		}
		for _, n := range s.failing {
			faults = append(faults, testdns.Zone{Origin: name.Replace(n), State: testdns.Lame})
		}
	}
	unsigned := testdns.Zone{Origin: UnsignedZone, Text: z.unsigned.String()}
	signed := testdns.Zone{Origin: SignedZone, State: testdns.Signed, Text: z.signed.String(), Broken: broken}
	if l.dns, err = testdns.At(o.DNS, l.asked, append(faults, signed, unsigned)...); err != nil {
		return fmt.Errorf("the name server: %w", err)
	}
	for _, n := range broken {
		faults = append(faults, testdns.Zone{Origin: n, State: testdns.Bogus})
	}
	signed.State, signed.Broken = testdns.Secure, nil
	if l.resolver, err = testdns.At(o.Resolver, l.asked, append(faults, signed, unsigned)...); err != nil {
		return fmt.Errorf("the resolver: %w", err)
	}
	l.closers = append(l.closers, l.dns.Close, l.resolver.Close)
	l.DNS, l.Resolver = l.dns.Addr, l.resolver.Addr
	return nil
}

// asked is told of each name that is asked for.
func (l *Lab) asked(name string) {
	for _, s := range l.sites {
		if dns.IsSubDomain(s.domain+".", name) {
			s.event(func() { s.seen.asked = true })
		}
	}
}

// Anchor is the trust anchor of the signed zone: its DS record, as Unbound's
// trust-anchor-file takes it.
func (l *Lab) Anchor() string { return l.dns.Anchor(SignedZone) }

// Unbound is what a configuration of Unbound needs to find and to validate the
// lab's zones.
func (l *Lab) Unbound() string {
	at := strings.Replace(l.DNS, ":", "@", 1)
	return fmt.Sprintf(`server:
  trust-anchor: "%[1]s"
  local-zone: "test." nodefault
  do-not-query-localhost: no
stub-zone:
  name: %[2]s.
  stub-addr: %[4]s
stub-zone:
  name: %[3]s.
  stub-addr: %[4]s
`, l.Anchor(), SignedZone, UnsignedZone, at)
}

// BIND is what a configuration of BIND needs to find and to validate the lab's
// zones.
func (l *Lab) BIND() string {
	ds := strings.Fields(l.Anchor()) // name, TTL, class, DS, tag, algorithm, digest type, digest
	at := strings.Replace(l.DNS, ":", " port ", 1)
	return fmt.Sprintf(`trust-anchors { "%[1]s" static-ds %[2]s %[3]s %[4]s "%[5]s"; };
zone "%[1]s" { type forward; forward only; forwarders { %[7]s; }; };
zone "%[6]s" { type forward; forward only; forwarders { %[7]s; }; };
`, SignedZone, ds[4], ds[5], ds[6], ds[7], UnsignedZone, at)
}
