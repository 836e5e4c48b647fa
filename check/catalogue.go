package check

import (
	"slices"

	"example.org/starttls/protocol"

	"example.org/starttls"
)

// An entry of the catalogue is all that is constant about a finding. Its id
// never changes its meaning.
type entry struct {
	id       string
	severity by
	title    string // what is wrong
	why      string
	fix      string
	refs     []string
}

// by is a severity for each role of a port, in the order of starttls.Role: where
// clients sign in or ask, TLS must be there; between servers, senders fall back
// to cleartext anyway; what anyone may read needs it least.
type by [3]Severity

// catalogue is the one list of findings; docs/findings.md is printed from it.
var catalogue = slices.Concat(upgradeFindings, injectionFindings, boundaryFindings, stateFindings, certificateFindings, tlsFindings, policyFindings, pathFindings)

// Entry is what the catalogue says of a finding.
type Entry struct {
	ID         string
	Title      string
	Why        string
	Fix        string
	References []string
	Severity   [3]Severity // indexed by starttls.Role
}

// Worst is the gravest of its severities.
func (e Entry) Worst() Severity {
	worst := Info
	for _, s := range e.Severity {
		if s.AtLeast(worst) {
			worst = s
		}
	}
	return worst
}

// Catalogue returns all findings that a check can have, in the order of
// docs/findings.md.
func Catalogue() (out []Entry) {
	for _, e := range catalogue {
		out = append(out, Entry{e.id, e.title, e.why, e.fix, e.refs, e.severity})
	}
	return out
}

// find returns the catalogue's entry of that id. All ids used stand in it.
func find(id string) entry {
	i := slices.IndexFunc(catalogue, func(e entry) bool { return e.id == id })
	return catalogue[i]
}

func (f Finding) is(e entry) bool { return f.ID == e.id }

// role is who uses the target's port. The port decides before the protocol: SMTP
// on 587 is no relay's, and nobody falls back from a port that begins with TLS.
func (r *run) role() starttls.Role {
	role := r.target.Protocol.Info().Role
	if r.target.Implicit {
		return starttls.Access
	}
	if p, implicit, ok := protocol.ByPort(r.target.Port); ok && !implicit && role == starttls.Relay {
		role = p.Info().Role
	}
	return role
}

// add appends the finding of that id as it weighs in the target's role.
func (r *run) add(id, detail string, evidence ...string) {
	e := find(id)
	r.addAs(e, e.severity[r.role()], detail, evidence)
}

// addAs appends a finding once, however many connections show it.
func (r *run) addAs(e entry, s Severity, detail string, evidence []string) {
	verdict := Warn
	switch s {
	case Info:
		verdict = Noted
	case High:
		verdict = Vulnerable
	}
	r.append(e, s, verdict, detail, evidence)
}

func (r *run) append(e entry, s Severity, v Verdict, detail string, evidence []string) {
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == e.id }) {
		return
	}
	if detail == "" {
		detail = e.why
	}
	r.Findings = append(r.Findings, Finding{ID: e.id, Severity: s, Verdict: v, Title: e.title, Detail: detail,
		Evidence: append([]string{}, evidence...), References: append([]string{}, e.refs...), Fix: e.fix})
}
