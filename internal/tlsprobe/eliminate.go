package tlsprobe

import (
	"context"
	"slices"
	"strings"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// List is what a server agreed to, found by elimination: it is offered all,
// then all but what it chose, until it refuses.
type List struct {
	IDs      []uint16 // in the order in which it chose them
	Complete bool     // it ended in a refusal; if not, there may be more
	Unasked  bool     // the server chose what was not offered
}

// Has reports whether id is in the list.
func (l *List) Has(id uint16) bool { return slices.Contains(l.IDs, id) }

// eliminate offers candidates with the hellos that offer makes; chosen tells
// what an accepted answer chose. each, if not nil, is shown the answers that
// chose something, in order.
func (s *Server) eliminate(ctx context.Context, list *List, candidates []uint16, offer func(left []uint16) *Hello, chosen func(*Answer) (uint16, bool), each func(*Answer)) error {
	list.Complete = true
	for left := slices.Clone(candidates); len(left) > 0; {
		a, err := s.askTwice(ctx, offer(left))
		if err != nil {
			list.Complete = false
			return err
		}
		id, ok := chosen(a)
		if a.Outcome != Accepted || !ok {
			list.Complete = list.Complete && (a.Outcome == Accepted || a.Outcome == Refused || a.Outcome == Closed)
			return nil
		}
		i := slices.Index(left, id)
		if i < 0 {
			list.Unasked = true
			return nil
		}
		left = slices.Delete(left, i, i+1)
		list.IDs = append(list.IDs, id)
		if each != nil {
			each(a)
		}
	}
	return nil
}

// Order is whose preference among cipher suites a server follows.
type Order int

// Orders.
const (
	NoOrder     Order = iota // it has fewer than two suites, or could not be asked
	ServerOrder              // its own
	ClientOrder              // the client's
)

func (o Order) String() string { return [...]string{"unknown", "server", "client"}[o] }

// Suites are the cipher suites that a server has in one version.
type Suites struct {
	Version uint16
	List              // in the server's order, where it has one
	Order   Order     // whose preference counts
	Answers []*Answer // the one that chose each suite
}

// shortList is how many suites any server bears in a hello.
const shortList = 60

// Suites finds the cipher suites of one version, SSL 3.0 to TLS 1.3; those of
// SSL 2.0 are in its answer of Versions. It is nil where the server lacks the
// version.
func (s *Server) Suites(ctx context.Context, version uint16) (*Suites, error) {
	v, err := s.supports(ctx, version)
	if err != nil || v == nil || version == tlswire.SSL2 {
		return nil, err
	}
	return s.suites[version-tlswire.SSL3].get(func() (*Suites, error) {
		l, err := s.findSuites(ctx, v, tlswire.Suites(v.Version))
		if err == nil {
			err = s.order(ctx, l)
		}
		return l, err
	})
}

// findSuites finds which of the suites the server has in v.
func (s *Server) findSuites(ctx context.Context, v *Version, suites []uint16) (*Suites, error) {
	out := &Suites{Version: v.Version}
	size := shortList
	if v.first != nil {
		size = max(1, len(suites))
		if slices.Contains(suites, v.first.Suite) { // then the first step is known
			out.IDs, out.Answers = []uint16{v.first.Suite}, []*Answer{v.first}
			suites = slices.DeleteFunc(slices.Clone(suites), out.Has)
		}
	}
	complete := true
	for chunk := range slices.Chunk(suites, size) {
		err := s.eliminate(ctx, &out.List, chunk,
			func(left []uint16) *Hello { return s.hello(v.Version, left) },
			func(a *Answer) (uint16, bool) { return a.Suite, a.Version == v.Version },
			func(a *Answer) { out.Answers = append(out.Answers, a) })
		if err != nil {
			return nil, err
		}
		complete = complete && out.Complete
	}
	out.Complete = complete
	return out, nil
}

// order offers what the server has backwards: who has an order of its own
// chooses its first all the same. ChaCha20 is left out, since many with an order
// of their own yield to a client that has it first.
func (s *Server) order(ctx context.Context, l *Suites) error {
	backwards := pick(l.IDs, func(s tlswire.Suite) bool { return !strings.Contains(s.Name, "CHACHA20") })
	if len(backwards) < 2 {
		return nil
	}
	slices.Reverse(backwards)
	a, err := s.askTwice(ctx, s.hello(l.Version, backwards))
	if err != nil {
		return err
	}
	switch {
	case !a.chose(l.Version):
	case a.Suite == backwards[0]:
		l.Order = ClientOrder
	default:
		l.Order = ServerOrder
	}
	return nil
}
