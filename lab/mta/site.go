package mta

import (
	"crypto/tls"
	"strings"
	"sync"

	"example.org/starttls/internal/testdns"
	"example.org/starttls/policy/tlsrpt"

	"github.com/miekg/dns"
)

// site is a case as it is served.
type site struct {
	Case
	domain string
	lab    *Lab
	hosts  []*mx
	policy []*tls.Certificate // of the policy host, in each stage

	events chan struct{} // something was seen

	mu    sync.Mutex
	stage int
	seen  seen
}

// seen is what a site had of a sender.
type seen struct {
	asked    bool // somebody asked for its names
	sessions []session
	read     int // bytes of an endless policy
	reports  []*tlsrpt.Report
}

// mx is a mail server of a site.
type mx struct {
	name  string
	ip    string
	certs []*tls.Certificate // in each stage
	other *tls.Certificate   // for another name
	words *strings.Replacer  // of its TLSA records
}

// event notes what was seen.
func (s *site) event(note func()) {
	s.mu.Lock()
	note()
	s.mu.Unlock()
	select {
	case s.events <- struct{}{}:
	default:
	}
}

// now is the stage that the site is in.
func (s *site) now() (int, stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stage, s.stages[s.stage]
}

// open makes the site's certificates, and starts its servers.
func (s *site) open(next func() string) error {
	for i, h := range s.stages[0].hosts {
		m := &mx{name: s.nameOf(h), ip: next()}
		for _, st := range s.stages {
			c, err := s.certify(st.hosts[i].cert, m.name)
			if err != nil {
				return err
			}
			m.certs = append(m.certs, c)
		}
		var err error
		if m.other, err = s.certify(otherName, ""); err != nil {
			return err
		}
		m.words = s.lab.pki.tlsaWords(m.certs[0].Leaf)
		s.hosts = append(s.hosts, m)
		l, err := s.lab.listen(m.ip, &s.lab.Port)
		if err != nil {
			return err
		}
		s.lab.running.Go(func() { s.acceptMail(l, i) })
	}
	for _, st := range s.stages {
		c, err := s.certify(st.sts.cert, "mta-sts."+s.domain)
		if err != nil {
			return err
		}
		s.policy = append(s.policy, c)
	}
	if s.stages[0].sts.record == "" {
		return nil
	}
	return s.lab.serveHTTPS(s.hosts[0].ip, s.policyCertificate, s.servePolicy)
}

func (s *site) certify(make certificate, name string) (*tls.Certificate, error) {
	if make == nil {
		make = good
	}
	c, err := make(s.lab.pki, name, s.domain)
	return &c, err
}

// advance brings the site to its next stage, once a message got there in an
// earlier one.
func (s *site) advance() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stage == len(s.stages)-1 {
		return
	}
	s.stage++
	record := s.stsRecord(s.stage)
	for _, d := range []*testdns.Server{s.lab.dns, s.lab.resolver} {
		if err := d.Set(s.stsName(), dns.TypeTXT, record); err != nil {
			panic(err) // the text is the lab's own
		}
	}
}
