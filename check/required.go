package check

import (
	"slices"
)

// Whether TLS is required, as far as a stranger can see. What was tried tells
// more than what the server says of itself.

// requiredBy is what findings tell of it: one of a fault, or of what would be one
// in another role, and one of none.
var requiredBy = []struct{ id, fault, sound string }{
	{"auth-cleartext", "no", ""},
	{"tls-not-required", "no", "yes"},
	{"mx-requires-tls", "yes", "no"},
}

// required is "yes", "no" or "unknown".
func (r *run) required() string {
	for _, by := range requiredBy {
		i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.ID == by.id })
		if i < 0 {
			continue
		}
		told := ""
		switch r.Findings[i].Verdict {
		case Vulnerable, Warn, Noted:
			told = by.fault
		case Passed:
			told = by.sound
		}
		if told != "" {
			return told
		}
	}
	switch {
	case r.target.Implicit && r.Outcome == Upgraded || r.hello.Required:
		return "yes"
	case r.Outcome == NotOffered || clearSecrets(r.hello.Auth):
		return "no"
	}
	return "unknown"
}
