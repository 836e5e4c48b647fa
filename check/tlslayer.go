package check

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/tlsprobe"
	"example.org/starttls/internal/tlsprobe/tlswire"
)

// What the TLS behind the upgrade would agree to. By default this asks what
// changes a verdict, in two connections; in full, all there is to ask.

// tlsTests are the tests of the default.
func (r *run) tlsTests() []test {
	if r.options.Full {
		return nil // the enumeration answers the same
	}
	s := r.tlsServer()
	return []test{
		{id: "tls-weak-ciphers", level: ActiveProbes, outside: true, try: func(ctx context.Context, r *run) trial {
			a, err := s.Only(ctx, tlsprobe.WeakSuites)
			switch {
			case err != nil:
				return r.notMade(ctx, err)
			case taken(a):
				return trial{verdict: Warn, detail: "the server agrees to " + tlswire.SuiteByID(a.Suite).Name, evidence: bytesOf(a.Exchange)}
			}
			return trial{verdict: Passed, detail: "nothing weak is agreed to: " + a.String()}
		}},
		{id: "tls-hello-stall", level: ActiveProbes, outside: true, try: func(ctx context.Context, r *run) trial {
			a, err := s.Large(ctx, r.version)
			switch {
			case err != nil:
				return r.notMade(ctx, err)
			case a.Outcome == tlsprobe.TimedOut || a.Outcome == tlsprobe.Closed:
				return trial{verdict: Warn, detail: fmt.Sprintf("a hello of %d bytes in two segments: %s", len(a.Sent), a)}
			case !taken(a):
				return trial{verdict: Inconclusive, detail: a.String()}
			}
			return trial{verdict: Passed, detail: fmt.Sprintf("a hello of %d bytes in two segments is answered", len(a.Sent))}
		}},
	}
}

// taken reports whether a hello was answered with no alert behind the answer.
func taken(a *tlsprobe.Answer) bool { return a.Outcome == tlsprobe.Accepted && a.Alert == nil }

// tlsServer is the target's TLS, reached by an upgrade each time.
func (r *run) tlsServer() *tlsprobe.Server {
	return &tlsprobe.Server{Name: r.options.Name, ALPN: r.target.Protocol.Info().ALPN, Timeout: r.options.Timeout, Parallel: r.share(), Dial: r.toTLS}
}

// toTLS opens a connection and goes as far as the point where TLS begins.
func (r *run) toTLS(ctx context.Context) (net.Conn, error) {
	for {
		if err := r.connector.turn(ctx); err != nil {
			return nil, err
		}
		nc, err := r.beforeTLS(ctx)
		if err == nil || !throttles(err) || !r.connector.slowDown(err) {
			return nc, err
		}
	}
}

func (r *run) beforeTLS(ctx context.Context) (net.Conn, error) {
	nc, err := r.connector.open(ctx, "tcp", r.target.Address)
	if err != nil || r.target.Implicit {
		return nc, err
	}
	nc.SetDeadline(time.Now().Add(r.options.Timeout))
	w := starttls.NewWire(ctx, nc, starttls.WireConfig{ServerName: r.options.Name, LocalName: r.options.Local, NoTranscript: true})
	ask := starttls.IfOffered
	if r.blind {
		ask = starttls.Always
	}
	if _, err := r.target.Protocol.Client(w, ask); err != nil {
		e := &starttls.Error{Protocol: r.Protocol, Addr: r.target.Address, Stage: starttls.StageCleartext, Err: err, Asked: w.Asked()}
		w.Release()
		nc.Close()
		return nil, e
	}
	conn := w.Conn()
	if wrapper, ok := r.target.Protocol.(starttls.HandshakeWrapper); ok {
		conn, _ = wrapper.WrapHandshake(conn)
	}
	return conn, nil
}

// enumerate begins to ask all there is to ask of the server's TLS, beside the
// tests, most of which wait. What it returns takes the answers.
func (r *run) enumerate(ctx context.Context) (take func()) {
	var report *tlsprobe.Report
	var err error
	var asking sync.WaitGroup
	asking.Go(func() { report, err = r.tlsServer().Scan(ctx) })
	return func() {
		asking.Wait()
		r.enumerated(ctx, report, err)
	}
}

func (r *run) enumerated(ctx context.Context, report *tlsprobe.Report, err error) {
	if err != nil {
		t := r.notMade(ctx, err)
		r.take("tls-weak-ciphers", trial{verdict: t.verdict, detail: "the enumeration broke off: " + t.detail})
	}
	if report == nil {
		return
	}
	r.listed(report)
	for _, f := range report.Findings {
		if f.ID != "" { // else the enumeration broke off before it
			r.take("tls-"+f.ID, faultTrial(f.Finding))
		}
	}
	r.takeVersions(report.Versions)
	r.takeSuites(report.Suites)
	r.takeGroups(report)
	r.takeNames(report)
	r.takeTolerance(report.Tolerance)
	r.takeOtherKey(report.Certificates)
}

// faultTrial is what a probe for a fault found, in the words of a test.
func faultTrial(f tlsprobe.Finding) trial {
	t := trial{detail: f.Detail}
	switch f.Verdict {
	case tlsprobe.Vulnerable:
		t.verdict = Vulnerable
		if len(f.Evidence) > 0 {
			t.evidence = bytesOf(f.Evidence[0])
		}
	case tlsprobe.Inconclusive:
		t.verdict = Inconclusive
	default:
		t.verdict = Passed
	}
	return t
}

// bytesOf is an exchange as evidence, in hexadecimal and cut.
func bytesOf(x tlsprobe.Exchange) []string {
	hex := func(mark string, b []byte) string {
		const most = 64
		if len(b) > most {
			return fmt.Sprintf("%s%x... (%d bytes)", mark, b[:most], len(b))
		}
		return fmt.Sprintf("%s%x", mark, b)
	}
	return []string{hex("C: ", x.Sent), hex("S: ", x.Received)}
}

// listed takes down what the server has.
func (r *run) listed(report *tlsprobe.Report) {
	r.TLS.Suites = map[string][]string{}
	for _, v := range report.Versions {
		if v.Supported {
			r.TLS.Versions = append(r.TLS.Versions, tlswire.VersionName(v.Version))
		}
	}
	for _, s := range report.Suites {
		for _, id := range s.IDs {
			name := tlswire.VersionName(s.Version)
			r.TLS.Suites[name] = append(r.TLS.Suites[name], tlswire.SuiteByID(id).Name)
		}
		r.TLS.Preference = s.Order.String()
	}
	add := func(to *[]string, name func(uint16) string, a *tlsprobe.Agreed) {
		if a == nil {
			return
		}
		for _, id := range append(slices.Clone(a.TLS13.IDs), a.Before.IDs...) {
			*to = appendNew(*to, name(id))
		}
	}
	add(&r.TLS.Groups, tlswire.GroupName, report.Groups)
	add(&r.TLS.Schemes, tlswire.SchemeName, report.Schemes)
}

func appendNew(s []string, one string) []string {
	if slices.Contains(s, one) {
		return s
	}
	return append(s, one)
}

func (r *run) takeVersions(versions []tlsprobe.Version) {
	has := func(v uint16) bool {
		return slices.ContainsFunc(versions, func(x tlsprobe.Version) bool { return x.Version == v && x.Supported })
	}
	r.takeIf("tls-ssl", has(tlswire.SSL2) || has(tlswire.SSL3), "", "neither SSL 2.0 nor SSL 3.0 is accepted")
	r.takeIf("tls-no-1.3", !has(tlswire.TLS13), "", "TLS 1.3 is there")
	for _, v := range versions {
		if v.Supported && v.Version == tlswire.TLS12 {
			r.takeIf("tls-no-extended-master", !v.Answer.Extensions.Has(tlswire.ExtExtendedMaster), "", "extended_master_secret is agreed to")
		}
	}
}

// takeIf takes down a fault, or that there is none.
func (r *run) takeIf(id string, fault bool, detail, good string) {
	if fault {
		r.take(id, trial{verdict: Warn, detail: detail})
	} else {
		r.take(id, trial{verdict: Passed, detail: good})
	}
}

func (r *run) takeSuites(all []*tlsprobe.Suites) {
	var weak, kept []string
	clientOrder := false
	for _, s := range all {
		for _, id := range s.IDs {
			suite := tlswire.SuiteByID(id)
			if suite.Is(tlsprobe.WeakSuites) {
				weak = appendNew(weak, suite.Name)
			} else if s.Version < tlswire.TLS13 && !suite.Is(tlswire.ForwardSecret|tlswire.Anonymous) {
				kept = appendNew(kept, suite.Name)
			}
		}
		clientOrder = clientOrder || s.Order == tlsprobe.ClientOrder && s.Version < tlswire.TLS13
	}
	r.takeIf("tls-weak-ciphers", len(weak) > 0, strings.Join(weak, ", "), "nothing weak is agreed to")
	r.takeIf("tls-no-forward-secrecy", len(kept) > 0, strings.Join(kept, ", "), "all suites have forward secrecy")
	r.takeIf("tls-client-order", clientOrder, "", "the server's own order counts")
}

func (r *run) takeGroups(report *tlsprobe.Report) {
	if g := report.Groups; g != nil {
		hybrid := slices.ContainsFunc(g.TLS13.IDs, func(id uint16) bool {
			return slices.Contains([]uint16{tlswire.X25519MLKEM768, tlswire.SecP256r1MLKEM768, tlswire.SecP384r1MLKEM1024}, id)
		})
		r.takeIf("tls-no-post-quantum", !hybrid, "", "a post-quantum group is there")
	}
	var short []string
	for _, d := range report.DHE {
		if d.Bits < 2048 {
			short = append(short, fmt.Sprintf("%d bits", d.Bits))
		}
	}
	if len(report.DHE) > 0 {
		r.takeIf("tls-short-dh", len(short) > 0, strings.Join(short, ", "), "all primes have 2048 bits or more")
	}
}

func (r *run) takeNames(report *tlsprobe.Report) {
	if n := report.SNI; n != nil && n.None != nil && n.Unknown != nil {
		r.takeIf("tls-needs-sni", !taken(n.None) || !taken(n.Unknown),
			fmt.Sprintf("without a name: %s; with an unknown one: %s", n.None, n.Unknown), "a certificate is served without a name, and for an unknown one")
	}
	if a := report.ALPN; a != nil && a.Wrong != nil {
		r.takeIf("tls-any-alpn", taken(a.Wrong), "", "a name that is not served is refused: "+a.Wrong.String())
	}
}

func (r *run) takeTolerance(t *tlsprobe.Tolerance) {
	if t == nil {
		return
	}
	not := func(a *tlsprobe.Answer) bool { return a != nil && !taken(a) }
	r.takeIf("tls-hello-stall", not(t.Large) || not(t.Segment), "", "a large hello in two segments is answered")
	r.takeIf("tls-intolerant", not(t.Grease) || not(t.Records), "", "unknown values and short records are borne")
}

// takeOtherKey judges the certificate of the other kind of key, where the server
// has two: clients see now the one and now the other (RFC 7671, section 5).
func (r *run) takeOtherKey(c *tlsprobe.Certificates) {
	if c == nil || c.RSA == nil || c.EC == nil || len(r.served) == 0 {
		return
	}
	for _, a := range []*tlsprobe.Answer{c.RSA, c.EC} {
		var chain []*x509.Certificate
		for _, der := range a.Chain {
			if cert, err := x509.ParseCertificate(der); err == nil {
				chain = append(chain, cert)
			}
		}
		if len(chain) == 0 || chain[0].Equal(r.served[0]) {
			continue
		}
		r.otherChains = append(r.otherChains, chain)
		r.Certificate.Other = append(r.Certificate.Other, describe(chain[0]))
		fault := r.verifyFor(chain, r.options.Name)
		r.takeIf("cert-other-key", fault != "" && r.Certificate.Verified, fault, "the certificate of the other kind of key verifies as well")
	}
}
