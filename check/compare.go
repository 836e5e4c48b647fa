package check

import (
	"fmt"
	"slices"
	"strings"
)

// Change is something that is no longer as it was when a result was saved.
type Change struct {
	What  string `json:"what"`
	Was   string `json:"was"`
	Is    string `json:"is"`
	Whose string `json:"whose"` // server, certificate, policy or path
	Worse bool   `json:"worse"` // the upgrade got worse by it
}

// Compare notes in each result of now what has changed since before. A target
// that was not there before has no changes.
func Compare(before, now *Report) {
	for i := range now.Results {
		n := &now.Results[i]
		at := slices.IndexFunc(before.Results, func(b Result) bool { return b.Target == n.Target && b.Address == n.Address })
		if at < 0 { // the name may have another address by now
			at = slices.IndexFunc(before.Results, func(b Result) bool { return b.Target == n.Target })
		}
		if at >= 0 {
			n.compare(before.Results[at])
		}
	}
}

// levels are the levels of protection, least first.
var levels = []string{"none", "encrypt", "verify", "mta-sts", "dane"}

func (r *Result) compare(was Result) {
	r.Changes = []Change{}
	note := func(what, before, now, whose string, worse bool) {
		if before != now {
			r.Changes = append(r.Changes, Change{what, before, now, whose, worse})
		}
	}
	if r.intercepted(was) {
		r.Outcome = Intercepted
	}
	note("outcome", string(was.Outcome), string(r.Outcome), whoseOutcome(r.Outcome), was.Outcome == Upgraded)
	note("level", was.Level, r.Level, whoseLevel(was, *r), slices.Index(levels, r.Level) < slices.Index(levels, was.Level))
	note("address", was.Address, r.Address, "server", false)
	if r.TLS.Version != "" && was.TLS.Version != "" {
		note("TLS version", was.TLS.Version, r.TLS.Version, "server", r.TLS.Version < was.TLS.Version)
		note("cipher", was.TLS.Cipher, r.TLS.Cipher, "server", false)
		note("group", was.TLS.Group, r.TLS.Group, "server", false)
	}
	if len(was.Certificate.Chain) > 0 && len(r.Certificate.Chain) > 0 {
		c, d := was.Certificate.Chain[0], r.Certificate.Chain[0]
		note("certificate's key", c.SPKISHA256, d.SPKISHA256, "certificate", false)
		note("certificate's issuer", c.Issuer, d.Issuer, "certificate", false)
		note("certificate's end", c.NotAfter, d.NotAfter, "certificate", false)
		note("certificate verifies", verifies(was), verifies(*r), "certificate", was.Certificate.Verified)
	}
	note("offered before TLS", list(was.StartTLS.Before), list(r.StartTLS.Before), "server", false)
	note("offered inside TLS", list(was.StartTLS.After), list(r.StartTLS.After), "server", false)
	note("policy", was.Policy.Level, r.Policy.Level, "policy", was.Policy.Level != "" && slices.Index(senders, r.Policy.Level) < slices.Index(senders, was.Policy.Level))
	for _, f := range r.Findings {
		if f.Bad() && !slices.ContainsFunc(was.Findings, func(b Finding) bool { return b.ID == f.ID && b.Bad() }) {
			note("finding", "", f.ID, "server", f.Severity.AtLeast(Medium))
		}
	}
}

// senders are what a sender's policy can be, in Postfix's words, least first.
var senders = []string{"", "none", "may", "encrypt", "verify", "secure", "dane", "dane-only"}

// intercepted reports whether another certificate stands in the place of one
// that verified, of another key and another issuer, and for no fault of time or
// name: somebody on the way has put his own there.
func (r *Result) intercepted(was Result) bool {
	if !was.Certificate.Verified || r.Certificate.Verified || len(r.Certificate.Chain) == 0 || r.Outcome != Upgraded {
		return false
	}
	c, d := was.Certificate.Chain[0], r.Certificate.Chain[0]
	untrusted := func(f Finding) bool { return f.ID == "cert-untrusted" || f.ID == "cert-self-signed" }
	return c.SPKISHA256 != d.SPKISHA256 && c.Issuer != d.Issuer && slices.ContainsFunc(r.Findings, untrusted)
}

func whoseOutcome(o Outcome) string {
	switch o {
	case Stripped, Intercepted, Injected, Unreachable, TimedOut:
		return "path"
	}
	return "server"
}

// whoseLevel says what made the level another one.
func whoseLevel(was, is Result) string {
	switch {
	case was.Outcome != is.Outcome:
		return whoseOutcome(is.Outcome)
	case was.Certificate.Verified != is.Certificate.Verified:
		return "certificate"
	}
	return "policy"
}

func verifies(r Result) string {
	if r.Certificate.Verified {
		return "yes"
	}
	return "no: " + r.Certificate.Error
}

func list(s []string) string { return strings.Join(slices.Sorted(slices.Values(s)), ", ") }

// String says a change in a line.
func (c Change) String() string {
	switch {
	case c.Was == "":
		return fmt.Sprintf("%s: now %s (%s)", c.What, c.Is, c.Whose)
	case c.Is == "":
		return fmt.Sprintf("%s: no longer %s (%s)", c.What, c.Was, c.Whose)
	}
	return fmt.Sprintf("%s: was %s, is %s (%s)", c.What, c.Was, c.Is, c.Whose)
}
