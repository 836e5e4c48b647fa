package render

import (
	"slices"

	"example.org/starttls/check"
)

// path says what became of each connection to a reflector, and where one was
// changed, what was sent and what arrived.
func (p printer) path(passages []check.Passage) {
	for i, v := range passages {
		name := ""
		if i == 0 {
			name = "path"
		}
		what := "asked " + v.Variant + ": there " + v.ToServer + ", back " + v.ToClient
		if v.ToServer == "unchanged" && v.ToClient == "unchanged" {
			p.painted(name, p.paint(green, what))
			continue
		}
		p.painted(name, p.paint(red, what))
		if i > 0 && slices.Equal(v.Evidence, passages[i-1].Evidence) {
			continue
		}
		for _, e := range v.Evidence {
			p.painted("", "  "+p.paint(dim, show(e)))
		}
	}
}
