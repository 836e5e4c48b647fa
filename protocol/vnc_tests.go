package protocol

import (
	"slices"
	"strings"

	"example.org/starttls"
)

// Tests read what there is to choose from, beside VeNCrypt and in it.
func (p vnc) Tests() []starttls.Test {
	return []starttls.Test{
		p.offers("tls-not-required", false, "types without TLS can be chosen", "None", "VNC", "Tight", "ARD", "VeNCrypt Plain", "VeNCrypt Ident"),
		p.offers("anonymous-tls", true, "types whose TLS has no certificate can be chosen", "TLS", "VeNCrypt TLSNone", "VeNCrypt TLSVnc", "VeNCrypt TLSPlain", "VeNCrypt TLSSASL", "VeNCrypt TLSIdent"),
	}
}

// offers looks for types that should not be there.
func (p vnc) offers(id string, full bool, what string, bad ...string) starttls.Test {
	return starttls.Test{ID: id, Level: 2, Full: full, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if _, err := w.Write([]byte(vncVersion)); err != nil {
			return starttls.Verdict{}, err
		}
		var h starttls.Hello
		if _, err := p.subtypes(w, &h, starttls.Always); err != nil {
			return starttls.Verdict{}, err
		}
		found := slices.DeleteFunc(slices.Clone(h.Caps), func(c string) bool { return !slices.Contains(bad, c) })
		if len(found) > 0 {
			return fault("%s: %s", what, strings.Join(found, ", "))
		}
		return sound("only these can be chosen: %s", strings.Join(h.Caps, ", "))
	}}
}
