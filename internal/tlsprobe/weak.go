package tlsprobe

import (
	"context"
	"strings"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// Cipher suites that are faults by themselves, in any version.

// suspect tells whether a suite may be a fault: by itself, by a short prime, or
// in SSL 3.0.
func suspect(version uint16, s tlswire.Suite) bool {
	const bad = tlswire.Null | tlswire.Anonymous | tlswire.Export | tlswire.RC4 | tlswire.RC2 | tlswire.DES | tlswire.Block64
	return s.Is(bad) || s.Exchange == tlswire.DHE || version == tlswire.SSL3 && s.Is(tlswire.CBC)
}

// suspects finds the suites of a version that may be a fault: among all, if they
// are known, or by offering no others. nil: the server lacks the version.
func (s *Server) suspects(ctx context.Context, version uint16) (*Suites, error) {
	v, err := s.supports(ctx, version)
	if err != nil || v == nil {
		return nil, err
	}
	i := version - tlswire.SSL3
	if l, known := s.suites[i].peek(); known {
		return l, nil
	}
	return s.weak[i].get(func() (*Suites, error) {
		suites := pick(tlswire.Suites(version), func(s tlswire.Suite) bool { return suspect(version, s) })
		return s.findSuites(ctx, v, suites)
	})
}

// find finds suites that bad likes in the versions up to newest.
func (s *Server) find(ctx context.Context, newest uint16, bad func(tlswire.Suite, *Answer) bool) (Finding, error) {
	out := Finding{Verdict: Safe, Detail: "no such cipher suite"}
	var names []string
	versions := map[string][]string{}
	complete := true
	for v := tlswire.SSL3; v <= newest; v++ {
		l, err := s.suspects(ctx, v)
		if err != nil {
			return Finding{}, err
		}
		if l == nil {
			continue
		}
		complete = complete && l.Complete
		for i, id := range l.IDs {
			suite := tlswire.SuiteByID(id)
			if !bad(suite, l.Answers[i]) {
				continue
			}
			if versions[suite.Name] == nil {
				names = append(names, suite.Name)
			}
			versions[suite.Name] = append(versions[suite.Name], tlswire.VersionName(v))
			out.Evidence = append(out.Evidence, l.Answers[i].Exchange)
		}
	}
	for i, name := range names {
		names[i] = name + " (" + strings.Join(versions[name], ", ") + ")"
	}
	switch {
	case len(names) > 0:
		out.Verdict, out.Detail = Vulnerable, strings.Join(names, ", ")
	case !complete:
		out.Verdict, out.Detail = Inconclusive, "not all cipher suites could be asked for"
	}
	return out, nil
}

func (s *Server) findTraits(ctx context.Context, t tlswire.Traits) (Finding, error) {
	return s.find(ctx, tlswire.TLS13, func(s tlswire.Suite, _ *Answer) bool { return s.Is(t) })
}

// Anonymous finds suites that authenticate no server.
func (s *Server) Anonymous(ctx context.Context) (Finding, error) {
	return s.findTraits(ctx, tlswire.Anonymous)
}

// Null finds suites that encrypt nothing.
func (s *Server) Null(ctx context.Context) (Finding, error) { return s.findTraits(ctx, tlswire.Null) }

// Export finds suites with keys of 40 or 56 bits.
func (s *Server) Export(ctx context.Context) (Finding, error) {
	return s.findTraits(ctx, tlswire.Export)
}

// RC4 finds suites with RC4 (RFC 7465).
func (s *Server) RC4(ctx context.Context) (Finding, error) { return s.findTraits(ctx, tlswire.RC4) }

// Sweet32 finds suites with blocks of 64 bits, as of 3DES (CVE-2016-2183).
func (s *Server) Sweet32(ctx context.Context) (Finding, error) {
	return s.findTraits(ctx, tlswire.Block64)
}

// POODLE finds SSL 3.0 with CBC, whose padding nobody checks (CVE-2014-3566).
func (s *Server) POODLE(ctx context.Context) (Finding, error) {
	if v, err := s.supports(ctx, tlswire.SSL3); err != nil || v == nil {
		return whether(err, "SSL 3.0")
	}
	return s.find(ctx, tlswire.SSL3, func(s tlswire.Suite, _ *Answer) bool { return s.Is(tlswire.CBC) })
}

// FREAK finds RSA_EXPORT, with which an attacker on the path makes careless
// clients take a key of 512 bits (CVE-2015-0204).
func (s *Server) FREAK(ctx context.Context) (Finding, error) {
	return s.find(ctx, tlswire.TLS12, func(_ tlswire.Suite, a *Answer) bool {
		return strings.HasPrefix(tlswire.SuiteByID(a.Suite).Name, "TLS_RSA_EXPORT")
	})
}

// weakDHE is the size in bits from which on a prime is out of reach (RFC 9325,
// section 4.1, forbids less than 2048; Logjam breaks 1024 with the means of a
// state).
const weakDHE = 1024

// Logjam finds DHE with primes of at most 1024 bits, in export suites or not
// (CVE-2015-4000).
func (s *Server) Logjam(ctx context.Context) (Finding, error) {
	return s.find(ctx, tlswire.TLS12, func(s tlswire.Suite, a *Answer) bool {
		return a.KeyExchange != nil && a.KeyExchange.P != nil && a.KeyExchange.Bits() <= weakDHE
	})
}

// CRIME finds compression (CVE-2012-4929).
func (s *Server) CRIME(ctx context.Context) (Finding, error) {
	all, err := s.Versions(ctx)
	if err != nil {
		return Finding{}, err
	}
	asked := false
	for _, v := range all {
		if v.Supported && v.Answer.Compressed() {
			return finding(Vulnerable, "it compresses in "+tlswire.VersionName(v.Version), v.Answer), nil
		}
		asked = asked || v.Supported && v.Version > tlswire.SSL2 && v.Version < tlswire.TLS13
	}
	if !asked {
		return without("version before TLS 1.3")
	}
	return Finding{Verdict: Safe, Detail: "compression was offered and declined"}, nil
}

// DROWN finds SSL 2.0, whose existence endangers every use of its RSA key
// (CVE-2016-0800). Export ciphers make it a matter of hours.
func (s *Server) DROWN(ctx context.Context) (Finding, error) {
	all, err := s.Versions(ctx)
	if err != nil {
		return Finding{}, err
	}
	v := all[0]
	if !v.Supported {
		return without("SSL 2.0")
	}
	detail := "SSL 2.0"
	for _, c := range v.Answer.SSL2.Ciphers {
		if c.Export() {
			detail = "SSL 2.0 with export ciphers"
		}
	}
	if len(v.Answer.SSL2.Ciphers) == 0 {
		// CVE-2015-3197: ciphers that are switched off can be used all the same.
		detail = "SSL 2.0, though with no cipher that was offered"
	}
	return finding(Vulnerable, detail, v.Answer), nil
}

// whether is a probe that failed, or one that does not apply.
func whether(err error, lacks string) (Finding, error) {
	if err != nil {
		return Finding{}, err
	}
	return without(lacks)
}

// Fallback tells whether a client that was made to try again with less is
// noticed (RFC 7507): Vulnerable is a server that has several versions and takes
// the lower one with the signal all the same.
func (s *Server) Fallback(ctx context.Context) (Finding, error) {
	top, err := s.newest(ctx, tlswire.TLS13)
	if err != nil || top == nil {
		return whether(err, "version of TLS")
	}
	below, err := s.newest(ctx, top.Version-1)
	if err != nil || below == nil {
		return whether(err, "version to fall back to")
	}
	h := s.hello(below.Version, append(pick(tlswire.Suites(below.Version), common), tlswire.FallbackSCSV))
	a, err := s.askTwice(ctx, h)
	switch {
	case err != nil:
		return Finding{}, err
	case a.Outcome == Accepted:
		return finding(Vulnerable, "it takes "+tlswire.VersionName(a.Version)+" from a client that fell back", a), nil
	case a.Alert != nil && a.Alert.Code == tlswire.InappropriateFallback:
		return finding(Safe, "inappropriate_fallback", a), nil
	case a.Alert != nil || a.Outcome == Closed:
		return finding(Safe, "refused, though not with inappropriate_fallback", a), nil
	}
	return finding(Inconclusive, a.String(), a), nil
}
