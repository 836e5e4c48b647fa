// Package protocol holds the application protocols that upgrade to TLS in
// their own dialogue, one in each file. Each is a [starttls.Protocol] to be
// passed to [starttls.Dial] and its kin.
package protocol

import (
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
)

var all []starttls.Protocol

// register adds p to All. Each file calls it for what it defines, so that a new
// protocol is a new file and nothing else.
func register[P starttls.Protocol](p P) P {
	all = append(all, p)
	return p
}

// All returns every protocol, by name.
func All() []starttls.Protocol {
	out := slices.Clone(all)
	slices.SortFunc(out, func(a, b starttls.Protocol) int { return strings.Compare(a.Info().Name, b.Info().Name) })
	return out
}

// Lookup finds a protocol by its name or alias, whatever the case, and says
// whether the name means the form that begins with TLS. An exact name or alias
// wins; only then is a final "s" taken for that form: "imaps", "https".
func Lookup(name string) (p starttls.Protocol, implicit bool, err error) {
	name = strings.ToLower(name)
	for _, p := range all {
		i := p.Info()
		if i.Name == name || slices.Contains(i.Aliases, name) {
			return p, false, nil
		}
	}
	base, hasS := strings.CutSuffix(name, "s")
	for _, p := range all {
		i := p.Info()
		if slices.Contains(i.Implicit, name) || hasS && (i.Name == base || slices.Contains(i.Aliases, base)) {
			return p, true, nil
		}
	}
	return nil, false, fmt.Errorf("no protocol is called %q", name)
}

// ByPort finds the protocol whose usual port is port, and says whether it is
// the port of the form that begins with TLS.
func ByPort(port int) (p starttls.Protocol, implicit, ok bool) {
	if port <= 0 {
		return nil, false, false
	}
	for _, p := range All() {
		if p.Info().Port == port {
			return p, false, true
		}
	}
	for _, q := range All() {
		// What clients speak comes before what servers speak: 465 is submission's.
		if q.Info().ImplicitTLS == port && (p == nil || p.Info().Role == starttls.Relay) {
			p = q
		}
	}
	return p, p != nil, p != nil
}
