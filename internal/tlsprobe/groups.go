package tlsprobe

import (
	"context"
	"slices"
	"strings"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// Agreed is what a server agrees to in TLS 1.3, and what it agrees to besides
// in the newest version before that.
type Agreed struct {
	TLS13  List
	Before List // without what is in TLS13
}

// Groups finds the groups for (EC)DHE. In TLS 1.3 no share is offered, so that
// the server names its choice and neither side computes anything. Before TLS
// 1.3 only curves are named; the primes of DHE are [Server.DHE].
func (s *Server) Groups(ctx context.Context) (*Agreed, error) {
	groups := tlswire.AllGroups()
	ecdhe := func(s tlswire.Suite) bool { return strings.Contains(s.Name, "_ECDHE_") && !s.Is(tlswire.PSK) }
	out, err := s.agreed(ctx, groups,
		func(v uint16, left []uint16) *Hello {
			if v == tlswire.TLS13 {
				return s.hello(v, tlswire.Suites(v)).with(tlswire.Groups(left)).share()
			}
			return s.hello(v, pick(tlswire.Suites(v), ecdhe)).with(tlswire.Groups(left))
		},
		func(a *Answer) uint16 { return a.Group })
	if v, _ := s.supports(ctx, tlswire.TLS13); err == nil && v != nil && len(out.TLS13.IDs) == 0 {
		out.TLS13 = List{IDs: []uint16{v.Answer.Group}} // the server knows no HelloRetryRequest
	}
	return out, err
}

// Schemes finds the schemes with which the server signs, certificates of both
// kinds included where it has them.
func (s *Server) Schemes(ctx context.Context) (*Agreed, error) {
	signed := func(s tlswire.Suite) bool {
		return s.Is(tlswire.ForwardSecret) && !s.Is(tlswire.Anonymous|tlswire.PSK)
	}
	return s.agreed(ctx, tlswire.AllSchemes(),
		func(v uint16, left []uint16) *Hello {
			suites := pick(tlswire.Suites(v), signed)
			if v == tlswire.TLS13 {
				suites = pick(suites, tlswire.Suite.CanSchedule)
			}
			return s.hello(v, suites).with(tlswire.Schemes(left))
		},
		func(a *Answer) uint16 { return a.Scheme })
}

// agreed eliminates in TLS 1.3, then what is left of it in the newest version
// before, if that has the extension at all.
func (s *Server) agreed(ctx context.Context, candidates []uint16, offer func(version uint16, left []uint16) *Hello, chosen func(*Answer) uint16) (*Agreed, error) {
	out := &Agreed{TLS13: List{Complete: true}, Before: List{Complete: true}}
	in := func(version uint16, list *List) error {
		return s.eliminate(ctx, list, candidates,
			func(left []uint16) *Hello { return offer(version, left) },
			func(a *Answer) (uint16, bool) { return chosen(a), chosen(a) != 0 && a.Version == version }, nil)
	}
	v, err := s.supports(ctx, tlswire.TLS13)
	if err == nil && v != nil {
		err = in(v.Version, &out.TLS13)
	}
	if err != nil {
		return out, err
	}
	candidates = slices.DeleteFunc(slices.Clone(candidates), out.TLS13.Has)
	if v, err = s.newest(ctx, tlswire.TLS12); err == nil && v != nil && v.Version > tlswire.SSL3 {
		err = in(v.Version, &out.Before)
	}
	return out, err
}
