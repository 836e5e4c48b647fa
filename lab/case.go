// Package lab tests clients: it serves them every case in which a server, or
// somebody on the path to it, lies about TLS, and tells from what they then do
// whether they gave anything away. [Test] does so for a client in Go, [Run] for any
// other; [Open] serves the cases to whoever comes.
package lab

import (
	"fmt"
	"slices"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// Case is one way in which a server, or somebody on the path to it, lies to a
// client.
type Case struct {
	ID         string
	Number     int      // of the generic move it belongs to, 1 to 42; 0: none, or a protocol's own
	Title      string   // what happens to the client, in a few words
	Does       string   // what the server does
	References []string // CVEs and specifications
	Own        bool     // only protocols that have the words for it have it
	Without    string   // of an own case: why the others do not have it

	lies    []lie                     // each start of the client meets the next; the last stays
	not     func(r *rehearsal) string // why a protocol does not have it; "" or nil: it does
	host    string                    // the client is given this name or address, if not the usual
	injects bool                      // what an opportunistic client must not fall for either
}

// The cases without a lie, which the others are compared with.
const (
	honestID  = "honest"
	controlID = "withhold"
)

// refusable reports whether the TLS of the case must be refused.
func (c Case) refusable() bool {
	return slices.ContainsFunc(c.lies, func(l lie) bool { return l.refusable })
}

// For gives the cases of p, in the catalogue's order: generic ones, and its own
// with the words of its [starttls.Mover], for which trap is an address.
func For(p starttls.Protocol, trap string) []Case {
	var out []Case
	for _, c := range Catalogue() {
		if c, why := c.of(p, trap); why == "" {
			out = append(out, c)
		}
	}
	return out
}

// Why says why p does not have the case c; "" if it does.
func (c Case) Why(p starttls.Protocol) string {
	_, why := c.of(p, "")
	return why
}

// of makes the case p's own, or says why p does not have it.
func (c Case) of(p starttls.Protocol, trap string) (Case, string) {
	if m, ok := p.(starttls.Mover); ok {
		for _, move := range m.Moves(trap) {
			if move.ID == c.ID {
				c.lies = []lie{moved(move)}
				c.injects = c.injects || move.Withhold || len(move.Tells) > 0
				return c, ""
			}
		}
	}
	switch {
	case c.Own:
		return c, c.Without
	case c.not != nil:
		return c, c.not(rehearse(p))
	}
	return c, ""
}

// moved makes a lie of a protocol's move.
func moved(m starttls.Move) lie {
	l := lie{mode: starttls.Optional, withhold: m.Withhold, tells: m.Tells, hello: func(h *starttls.Hello) {
		if m.Hello.Greeting != nil {
			h.Greeting = m.Hello.Greeting
		}
		if m.Hello.Caps != nil {
			h.Caps = m.Hello.Caps
		}
		if m.Hello.Auth != nil {
			h.Auth = m.Hello.Auth
		}
	}}
	if m.Hide {
		l.mode = starttls.Hide
	}
	if m.GoAhead != nil {
		l.goAhead = func(_ *rehearsal, q request) []starttls.Segment { return whole(m.GoAhead(q.heard, q.consent)) }
	}
	if m.Reply != nil {
		l.reply = func(_ *rehearsal, s said) []byte { return m.Reply(s.tls, s.heard, s.text) }
	}
	return l
}

// Lookup finds the case called id.
func Lookup(id string) (Case, error) {
	for _, c := range Catalogue() {
		if c.ID == id {
			return c, nil
		}
	}
	return Case{}, fmt.Errorf("no case is called %q", id)
}

// Catalogue lists every case: the honest one, the generic ones, and those that
// only some protocols have.
func Catalogue() []Case {
	return slices.Concat(stripping, refusing, breaking, certificates, injecting, inside, own)
}

// Protocols are those that the lab serves: all.
func Protocols() []starttls.Protocol { return protocol.All() }
