package tlsprobe

import (
	"context"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// Version is what the server said to a hello that offered one version alone,
// with all suites, extensions and, before TLS 1.3, compression.
type Version struct {
	Version   uint16
	Supported bool
	Answer    *Answer

	first *Answer // to the hello with all suites; nil: it bears only a short list
}

// Versions asks for each version, SSL 2.0 to TLS 1.3, in this order.
func (s *Server) Versions(ctx context.Context) ([]Version, error) {
	return s.versions.get(func() ([]Version, error) {
		out := make([]Version, len(tlswire.Versions))
		tasks := make([]func() error, len(out))
		for i, v := range tlswire.Versions {
			out[i].Version = v
			tasks[i] = func() error { return s.version(ctx, &out[i]) }
		}
		return out, all(tasks...)
	})
}

func (s *Server) version(ctx context.Context, v *Version) (err error) {
	if v.Version == tlswire.SSL2 {
		challenge := tlswire.Random()
		h := &tlswire.SSL2Hello{Version: tlswire.SSL2, Ciphers: tlswire.SSL2Ciphers, Challenge: challenge[:16]}
		v.Answer, err = s.ask(ctx, &Hello{SSL2: h})
		v.Supported = err == nil && v.Answer.chose(tlswire.SSL2)
		return err
	}
	suites := tlswire.Suites(v.Version)
	v.Answer, err = s.ask(ctx, s.full(v.Version, suites))
	v.first = v.Answer
	if err == nil && v.unsure() {
		// Some servers do not bear a long list of suites, some no compression; and
		// a connection that was lost proves nothing.
		var a *Answer
		h := s.full(v.Version, pick(suites, common))
		h.Compression = nil
		if a, err = s.ask(ctx, h); err == nil && a.chose(v.Version) {
			v.Answer, v.first = a, nil
		}
	}
	if err == nil && v.Answer.chose(tlswire.TLS13) && !v.Answer.Whole {
		err = s.readable(ctx, v)
	}
	v.Supported = err == nil && v.Answer.chose(v.Version)
	return err
}

// unsure tells whether the answer may be to the hello and not to its version: a
// server that chooses another one, or says that it lacks this one, is clear.
func (v *Version) unsure() bool {
	a := v.Answer
	return a.Outcome != Accepted && (a.Alert == nil || a.Alert.Code != tlswire.ProtocolVersion)
}

// common tells whether a suite is one that servers have, or had.
func common(s tlswire.Suite) bool {
	return s.From == tlswire.TLS13 || s.CanFinish() || s.Is(tlswire.RC4) && !s.Is(tlswire.Export|tlswire.PSK)
}

// readable asks again for TLS 1.3 with a suite that can be read, so that the
// certificate is known.
func (s *Server) readable(ctx context.Context, v *Version) error {
	a, err := s.ask(ctx, s.full(v.Version, pick(tlswire.Suites(v.Version), tlswire.Suite.CanSchedule)))
	if err == nil && a.Whole {
		v.Answer = a
	}
	return err
}

// newest gives the newest version of those up to limit that the server has,
// but for SSL 2.0, which has nothing in common with the rest; nil: none.
func (s *Server) newest(ctx context.Context, limit uint16) (*Version, error) {
	all, err := s.Versions(ctx)
	if err != nil {
		return nil, err
	}
	var found *Version
	for i, v := range all[1:] {
		if v.Supported && v.Version <= limit {
			found = &all[1+i]
		}
	}
	return found, nil
}

// supports tells whether the server has a version.
func (s *Server) supports(ctx context.Context, version uint16) (*Version, error) {
	all, err := s.Versions(ctx)
	if err != nil {
		return nil, err
	}
	for i, v := range all {
		if v.Version == version && v.Supported {
			return &all[i], nil
		}
	}
	return nil, nil
}
