package tlsprobe

import (
	"context"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// Report is all that can be asked of a server. Where the server has nothing to
// be asked, or Scan failed, a pointer is nil.
type Report struct {
	Versions     []Version
	Suites       []*Suites // of the versions SSL 3.0 to TLS 1.3 that it has
	Groups       *Agreed
	Schemes      *Agreed
	DHE          []*DHE
	Certificates *Certificates
	ALPN         *ALPN
	SNI          *SNI
	Resumption   *Resumption
	Tolerance    *Tolerance
	Findings     []FaultFinding // in the order of Faults
	Connections  int
}

// FaultFinding is what was found of one fault.
type FaultFinding struct {
	Fault
	Finding
}

// Scan asks all. If it fails, the Report has what is known until then.
func (s *Server) Scan(ctx context.Context) (*Report, error) {
	r := &Report{Findings: make([]FaultFinding, len(Faults))}
	defer func() { r.Connections = s.Connections() }()
	versions, err := s.Versions(ctx)
	if err != nil {
		return r, err
	}
	r.Versions = versions
	suites := make([]*Suites, len(s.suites))
	var tasks []func() error
	for i := range suites {
		tasks = append(tasks, task(&suites[i], func() (*Suites, error) { return s.Suites(ctx, tlswire.SSL3+uint16(i)) }))
	}
	err = all(tasks...) // the rest builds on it
	for _, l := range suites {
		if l != nil {
			r.Suites = append(r.Suites, l)
		}
	}
	if err != nil {
		return r, err
	}
	tasks = []func() error{
		task(&r.Groups, func() (*Agreed, error) { return s.Groups(ctx) }),
		task(&r.Schemes, func() (*Agreed, error) { return s.Schemes(ctx) }),
		task(&r.DHE, func() ([]*DHE, error) { return s.DHE(ctx) }),
		task(&r.Certificates, func() (*Certificates, error) { return s.Certificates(ctx) }),
		task(&r.ALPN, func() (*ALPN, error) { return s.Protocols(ctx) }),
		task(&r.SNI, func() (*SNI, error) { return s.Names(ctx) }),
		task(&r.Resumption, func() (*Resumption, error) { return s.Resumption(ctx) }),
		task(&r.Tolerance, func() (*Tolerance, error) { return s.Tolerance(ctx) }),
	}
	for i, f := range Faults {
		r.Findings[i].Fault = f
		tasks = append(tasks, task(&r.Findings[i].Finding, func() (Finding, error) { return f.Probe(s, ctx) }))
	}
	return r, all(tasks...)
}

// task puts what f finds into out.
func task[T any](out *T, f func() (T, error)) func() error {
	return func() (err error) {
		*out, err = f()
		return err
	}
}
