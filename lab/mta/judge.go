package mta

import (
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
	"example.org/starttls/lab"
	"example.org/starttls/policy/tlsrpt"
)

// result is the beginning of one for a site.
func (s *site) result(sessions []session) lab.Result {
	r := lab.Result{Protocol: Protocol.Info().Name, Case: s.ID, Title: s.Title, References: append([]string{}, s.References...),
		Verdict: lab.OK, Score: lab.Closed, Leaks: []lab.Leak{}, Evidence: []string{}, Connections: len(sessions)}
	for _, g := range sessions {
		r.Evidence = append(r.Evidence, g.evidence...)
	}
	return r
}

// ranks orders the scores that a sender can have here.
var ranks = []lab.Score{lab.Closed, lab.Metadata, lab.Secrets, lab.SecretTLS}

// given adds what a session gave away, and reports whether a message got where
// it should.
func (s *site) given(r *lab.Result, g session) (delivered bool) {
	require := func(arg string) bool { return strings.Contains(strings.ToUpper(arg), s.Mail) }
	dropped := s.Mail != "" && !slices.ContainsFunc(g.mail, require)
	if g.tls && !dropped && !s.stages[g.stage].hosts[g.host].refuse {
		return g.messages > 0
	}
	add := func(what string, score lab.Score) {
		leak := lab.Leak{What: what, TLS: g.tls}
		r.Leaks = append(r.Leaks, leak)
		if r.Verdict = lab.Vulnerable; s.should {
			r.Verdict = lab.Warn
		}
		if slices.Index(ranks, score) > slices.Index(ranks, r.Score) {
			r.Score, r.Detail = score, "gave away "+leak.String()
			if g.tls && dropped {
				r.Detail += ", without " + s.Mail
			}
		}
	}
	if len(g.mail) > 0 {
		add("metadata", lab.Metadata)
	}
	if g.messages > 0 && g.tls {
		add("content", lab.SecretTLS)
	} else if g.messages > 0 {
		add("content", lab.Secrets)
	}
	return false
}

// judgeOne says what one connection was.
func (s *site) judgeOne(g session) lab.Result {
	r := s.result([]session{g})
	delivered := s.given(&r, g)
	switch {
	case len(r.Leaks) > 0:
	case delivered:
		r.Detail = "the message came, inside TLS"
	case s.stages[g.stage].hosts[g.host].refuse:
		r.Detail = "nothing was given away"
	default:
		r.Verdict, r.Detail = lab.Warn, "left without a message, which it should have delivered"
	}
	return r
}

// judge sums up what the site had of a sender.
func (s *site) judge() lab.Result {
	s.mu.Lock()
	seen, stage := s.seen, s.stage
	s.mu.Unlock()
	r := s.result(seen.sessions)
	delivered := false
	for _, g := range seen.sessions {
		came := s.given(&r, g)
		delivered = delivered || came && g.stage == len(s.stages)-1
	}
	for _, report := range seen.reports {
		r.Evidence = append(r.Evidence, shown(report, s.domain)...)
	}
	switch {
	case len(r.Leaks) > 0:
	case !seen.asked && len(seen.sessions) == 0:
		r.Verdict, r.Detail = lab.Inconclusive, "nobody asked for the domain"
	case stage < len(s.stages)-1:
		r.Verdict, r.Detail = lab.Inconclusive, "the first message did not come, when all was well"
	case s.must && !delivered:
		r.Verdict, r.Detail = lab.Warn, "refused what it should accept: the message did not come"
	case seen.read > tooMuch:
		r.Verdict, r.Detail = lab.Warn, fmt.Sprintf("read a policy of more than %d bytes", tooMuch)
	case s.report != "":
		r.Verdict, r.Detail = s.judgeReports(seen.reports)
	case s.must:
		r.Detail = "the message came, inside TLS"
	case len(seen.sessions) == 0:
		r.Detail = "nothing was given away; it did not connect"
	default:
		r.Detail = "nothing was given away"
	}
	return r
}

// judgeReports says whether a report of the failure came.
func (s *site) judgeReports(reports []*tlsrpt.Report) (lab.Verdict, string) {
	if len(reports) == 0 {
		return lab.Info, "nothing was given away; no report came, which most senders write once a day"
	}
	for _, r := range reports {
		for _, p := range about(r, s.domain) {
			if p.Summary.Failed > 0 && len(p.Failures) > 0 {
				return lab.OK, "nothing was given away, and a report says that it failed: " + starttls.Escape(string(p.Failures[0].Type))
			}
		}
	}
	return lab.Warn, "a report came that tells of no failure"
}

// shown is what a report says of a domain, line by line.
func shown(r *tlsrpt.Report, domain string) []string {
	out := []string{fmt.Sprintf("report %s of %s, %s to %s", r.ID, r.Organization, r.DateRange.Start.UTC().Format(timeForm), r.DateRange.End.UTC().Format(timeForm))}
	for _, p := range about(r, domain) {
		out = append(out, fmt.Sprintf("report: %s %s: %d well, %d failed", p.Policy.Type, p.Policy.Domain, p.Summary.Successful, p.Summary.Failed))
		for _, f := range p.Failures {
			out = append(out, fmt.Sprintf("report: %d times %s at %s %s", f.Sessions, f.Type, f.MXHost, f.Reason))
		}
	}
	return out
}

const timeForm = "2006-01-02T15:04:05Z"

// settle takes back what proves nothing: a sender that gets nowhere with a sound
// server does not hold a policy by getting nowhere.
func settle(results []lab.Result) {
	i := slices.IndexFunc(results, func(r lab.Result) bool { return r.Case == HonestID })
	if i < 0 || results[i].Verdict == lab.OK || results[i].Verdict == lab.Vulnerable {
		return
	}
	for j := range results {
		if r := &results[j]; r.Verdict == lab.OK || r.Verdict == lab.Warn || r.Verdict == lab.Info {
			r.Verdict, r.Detail = lab.Inconclusive, "the sender gets nowhere with an honest server either"
		}
	}
	results[i].Detail = "the sender gets nowhere with an honest server: " + results[i].Client
}
