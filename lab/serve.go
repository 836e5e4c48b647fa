package lab

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"example.org/starttls"
)

// Rotation is how a client that the lab does not start comes to its case.
type Rotation string

// The rotations.
const (
	ByPort  Rotation = "port"  // each case has a port of its own
	ByOrder Rotation = "order" // each connection meets the next case
	ByUser  Rotation = "user"  // who signs in as CASE or lab-CASE meets that case from the next connection on
	BySNI   Rotation = "sni"   // who asks for the name CASE.anything gets that case's certificate
)

// Server is one address of a stand-alone lab.
type Server struct {
	Protocol starttls.Protocol
	Case     string // "" where cases rotate
	Addr     string
}

// Lab is a stand-alone lab: servers that wait for clients.
type Lab struct {
	Servers []Server
	RootPEM []byte

	options Options
	pki     *pki
	stalls  []*stall
	mu      sync.Mutex // one result at a time
}

// Open starts the servers. o.OnResult is told of each connection as it ends.
// Close it.
func Open(ctx context.Context, o Options, r Rotation) (*Lab, error) {
	o = o.withDefaults()
	k, err := newPKI(o.Host, "127.0.0.1", "::1")
	if err != nil {
		return nil, err
	}
	l := &Lab{options: o, pki: k, RootPEM: k.trusted.PEM()}
	for _, p := range o.Protocols {
		if err := l.serve(ctx, p, r); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

func (l *Lab) serve(ctx context.Context, p starttls.Protocol, r Rotation) error {
	trap, err := l.listen(ctx, trapAddress, p, nil)
	if err != nil {
		return err
	}
	trap.turn(lie{mode: starttls.Hide})
	cases := slices.DeleteFunc(For(p, trap.addr()), func(c Case) bool {
		return l.options.Cases != nil && !slices.Contains(l.options.Cases, c.ID)
	})
	if r != ByPort {
		s, err := l.listen(ctx, l.options.Listen, p, &rotation{kind: r, cases: cases, chosen: map[string]string{}})
		if err == nil {
			l.Servers = append(l.Servers, Server{p, "", s.addr()})
		}
		return err
	}
	for _, c := range cases {
		s, err := l.listen(ctx, l.options.Listen, p, &rotation{kind: r, cases: []Case{c}})
		if err != nil {
			return err
		}
		l.Servers = append(l.Servers, Server{p, c.ID, s.addr()})
	}
	return nil
}

// listen opens a stall, of which r says what each connection meets; nil for the
// trap.
func (l *Lab) listen(ctx context.Context, address string, p starttls.Protocol, r *rotation) (*stall, error) {
	tcp, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return nil, err
	}
	var met sync.Map // *session to Case
	s := newStall(ctx, tcp, func(nc net.Conn, told lie) *session {
		one := &session{rehearsal: rehearse(p), pki: l.pki, limits: l.options.Limits, lie: told}
		if r != nil {
			r.meet(nc, one, &met)
		}
		return one
	}, l.options.Limits.Linger)
	s.ended = func(one *session, got gained) {
		c, _ := met.LoadAndDelete(one)
		if c == nil {
			c = Case{ID: "trap", Title: "the client went where it was sent in clear", lies: []lie{{}}}
		}
		l.tell(p, c.(Case), one, got)
	}
	l.stalls = append(l.stalls, s)
	return s, nil
}

// tell makes a result of one connection.
func (l *Lab) tell(p starttls.Protocol, c Case, s *session, got gained) {
	if l.options.OnResult == nil {
		return
	}
	r := Result{Protocol: p.Info().Name, Case: c.ID, Title: c.Title, References: append([]string{}, c.References...), Leaks: []Leak{}, Evidence: []string{}, Connections: 1}
	r.judge(c, l.options.Expect, []gained{got}, nil)
	for _, e := range s.transcript {
		r.Evidence = append(r.Evidence, e.Lines()...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.options.OnResult(r)
}

// Close ends the servers and their connections.
func (l *Lab) Close() {
	for _, s := range l.stalls {
		s.cancel()
		s.close()
	}
}

// rotation gives each connection its case.
type rotation struct {
	kind  Rotation
	cases []Case

	mu     sync.Mutex
	next   int
	chosen map[string]string // case by the client's address
}

// meet sets what a session's client meets.
func (r *rotation) meet(nc net.Conn, s *session, met *sync.Map) {
	c := r.pick(nc)
	met.Store(s, c)
	s.lie = c.lies[len(c.lies)-1]
	switch r.kind {
	case ByUser:
		from := addressOf(nc)
		s.onUser = func(user string) { r.choose(from, strings.TrimPrefix(user, "lab-")) }
	case BySNI:
		s.bySNI = func(name string) (lie, bool) {
			id, _, _ := strings.Cut(name, ".")
			c, ok := r.find(id)
			if !ok {
				return lie{}, false
			}
			met.Store(s, c)
			return c.lies[0], true
		}
	}
}

func (r *rotation) pick(nc net.Conn) Case {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kind == ByOrder {
		r.next++
		return r.cases[(r.next-1)%len(r.cases)]
	}
	if c, ok := r.find(r.chosen[addressOf(nc)]); ok {
		return c
	}
	return r.cases[0]
}

func (r *rotation) find(id string) (Case, bool) {
	i := slices.IndexFunc(r.cases, func(c Case) bool { return c.ID == id })
	if i < 0 {
		return Case{}, false
	}
	return r.cases[i], true
}

func (r *rotation) choose(from, id string) {
	if _, ok := r.find(id); !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.chosen[from] = id
}

func addressOf(nc net.Conn) string {
	host, _, _ := net.SplitHostPort(nc.RemoteAddr().String())
	return host
}

// String is the server as a target.
func (s Server) String() string { return fmt.Sprintf("%s://%s", s.Protocol.Info().Name, s.Addr) }
