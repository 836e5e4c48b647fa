package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"example.org/starttls"
	"example.org/starttls/internal/reflection"
)

// Passage is one connection to a reflector, seen from both ends.
type Passage struct {
	Variant  string   `json:"variant"`   // how TLS was asked for
	ToServer string   `json:"to_server"` // what was sent arrived there unchanged, changed, or was lost
	ToClient string   `json:"to_client"`
	Evidence []string `json:"evidence"` // what was sent and what arrived, where these differ
}

// What can become of one direction.
const (
	unchanged = "unchanged"
	changed   = "changed"
	lost      = "lost"
)

// Reflector is the other end of a check of the path: see "starttls lab reflect".
type Reflector struct {
	addr     string // of its record
	key      reflection.Key
	services []reflection.Service
}

// ParseReflector reads HOST:PORT#TOKEN, as a reflector prints it.
func ParseReflector(s string) (*Reflector, error) {
	addr, token, ok := strings.Cut(s, "#")
	if _, _, err := net.SplitHostPort(addr); !ok || err != nil {
		return nil, fmt.Errorf("%q is not HOST:PORT#TOKEN", addr)
	}
	key, err := reflection.ParseKey(token)
	return &Reflector{addr: addr, key: key}, err
}

// Addr is the HOST:PORT of its record.
func (f *Reflector) Addr() string { return f.addr }

// Services asks the reflector what it serves: protocols' names, and their ports.
func (f *Reflector) Services(ctx context.Context, o Options) (map[string]int, error) {
	c, err := f.dial(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	a, err := c.Ask(ctx, reflection.Question{After: -1})
	if err != nil {
		return nil, err
	}
	f.services = a.Services
	out := map[string]int{}
	for _, s := range a.Services {
		out[s.Protocol] = s.Port
	}
	return out, nil
}

func (f *Reflector) dial(ctx context.Context, o Options) (*reflection.Client, error) {
	return reflection.Dial(ctx, newConnector(o, f.addr).open, f.addr, f.key)
}

// Reflect makes connections to t, behind which is the service of f that speaks
// its protocol, and compares what was sent at each end with what arrived at the
// other. Services was called before. Nothing is said inside TLS.
func Reflect(ctx context.Context, t Target, o Options, f *Reflector) Result {
	r := newRun(t, o)
	r.StartTLS.Required = "unknown"
	r.Path = []Passage{}
	if err := r.reflect(ctx, f); err != nil {
		r.noVerdict(Unreachable)
		r.Error = &Error{Stage: string(starttls.StageDial), Message: "the reflector's record at " + f.addr + ": " + err.Error()}
	}
	r.concludePath()
	return r.Result
}

// reflect makes the connections, one after the other: what comes to the reflector
// while one of them is open, and not before, is its other end.
func (r *run) reflect(ctx context.Context, f *Reflector) error {
	i := slices.IndexFunc(f.services, func(s reflection.Service) bool { return s.Protocol == r.Protocol })
	if i < 0 {
		return errors.New("it does not serve " + r.Protocol)
	}
	record, err := f.dial(ctx, r.options)
	if err != nil {
		return err
	}
	defer record.Close()
	var all []change
	for _, v := range r.pathVariants() {
		before, err := record.Ask(ctx, reflection.Question{Protocol: r.Protocol, After: -1})
		if err != nil {
			return err
		}
		if err := r.connector.turn(ctx); err != nil {
			return err
		}
		mine := r.attempt(ctx, v)
		if mine.err == nil {
			r.held(mine.tls, f.services[i].KeyID)
		}
		there, err := record.Ask(ctx, reflection.Question{Protocol: r.Protocol, After: before.Last})
		if err != nil {
			return err
		}
		p := comparison{x: mine, there: otherEnd(mine, there.Connections), keyID: f.services[i].KeyID, text: !r.target.Protocol.Info().Binary}
		passage := p.compare()
		passage.Variant = v.name
		r.Path = append(r.Path, passage)
		for _, c := range p.changes {
			c.variant = v.name
			all = append(all, c)
		}
		if p.there == nil { // nor would anything that is asked in another way arrive
			break
		}
	}
	r.takePath(all)
	return nil
}

// pathVariant is a way to ask for TLS.
type pathVariant struct {
	spelling
	ask starttls.Ask
}

// pathVariants are those of the protocol: as any client asks, blindly, and in the
// spellings that a device on the path may not know.
func (r *run) pathVariants() []pathVariant {
	out := []pathVariant{{spelling{"as offered", spellings[0].write}, starttls.IfOffered}}
	for _, s := range spellings {
		if s.name == "" {
			s.name = "blindly"
		} else if r.target.Protocol.Info().Binary {
			continue
		}
		out = append(out, pathVariant{s, starttls.Always})
	}
	return out
}

// otherEnd finds ours among the connections that came while it was open: the
// ClientHello proves it, what was said in clear nearly so. A path that says
// everything anew leaves only that there was no other.
func otherEnd(x attempt, came []reflection.Connection) *reflection.Connection {
	best, most := -1, -1
	for i, c := range came {
		n := 0
		if random := reflection.Random(x.hello); random != nil && slices.Equal(random, reflection.Random(c.Came.TLS)) {
			n = 2
		} else if slices.Equal(x.went.Clear, c.Came.Clear) {
			n = 1
		}
		if n > most {
			best, most = i, n
		}
	}
	if best < 0 {
		return nil
	}
	return &came[best]
}

// takePath makes findings of the changes: one of each kind, that says in which
// variants it was seen.
func (r *run) takePath(changes []change) {
	if len(changes) == 0 {
		all := trial{verdict: Passed}
		if slices.ContainsFunc(r.Path, func(p Passage) bool { return p.ToServer != unchanged || p.ToClient != unchanged }) {
			all = trial{verdict: Inconclusive, detail: "the reflector ended a connection before all had arrived"}
		}
		r.take("path-unchanged", all)
	}
	for _, c := range changes {
		var in []string
		for _, other := range changes {
			if other.id == c.id && !slices.Contains(in, other.variant) {
				in = append(in, other.variant)
			}
		}
		where := "always"
		if len(in) < len(r.Path) {
			where = "when TLS is asked for " + strings.Join(in, ", ")
		}
		r.add(c.id, c.detail+" ("+where+")", c.evidence...)
	}
}

// concludePath draws the verdict.
func (r *run) concludePath() {
	if !r.unsure {
		if r.Outcome = Upgraded; r.TLS.Version == "" {
			r.Outcome = Refused
		}
		for _, o := range pathOutcomes {
			if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == o.id }) {
				r.Outcome = o.outcome
				break
			}
		}
	}
	r.StartTLS.Accepted = r.Outcome == Upgraded
	r.reached()
	if r.Outcome == Upgraded && !slices.ContainsFunc(r.Findings, Finding.Bad) {
		r.Against = Against{Eavesdropper: "safe", Attacker: "safe"}
	}
	r.finish()
}

// held takes down the handshake of an attempt, and whether it was held with the
// reflector itself.
func (r *run) held(s tls.ConnectionState, keyID string) {
	if len(s.PeerCertificates) == 0 || len(r.Certificate.Chain) > 0 {
		return
	}
	r.TLS = describeTLS(s)
	for _, c := range s.PeerCertificates {
		r.Certificate.Chain = append(r.Certificate.Chain, describe(c))
	}
	if r.Certificate.Verified = keyIs(s.PeerCertificates[0], keyID); !r.Certificate.Verified {
		r.Certificate.Error = "its key is not the reflector's"
	}
}

func keyIs(c *x509.Certificate, id string) bool { return reflection.KeyID(c) == id }
