package check

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/lint"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"
)

const name = "server.example.test"

// serve runs p's server half and session until the test ends. A public mail
// exchanger does not require TLS.
func serve(t *testing.T, p starttls.Protocol, cfg *starttls.Config) Target {
	t.Helper()
	return serveTelling(t, p, cfg, nil)
}

// serveTelling does so, and tells sink what clients give away.
func serveTelling(t *testing.T, p starttls.Protocol, cfg *starttls.Config, sink starttls.Sink) Target {
	t.Helper()
	if p.Info().MX && cfg.Offer.Mode == starttls.Grant {
		cfg.Offer.Mode = starttls.Optional
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := starttls.NewListener(tcp, p, cfg)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				w := nc.(*starttls.Conn).Wire(context.Background())
				p.(starttls.Host).Serve(w, cfg.Hello, sink)
			}()
		}
	}()
	return target(p, tcp.Addr())
}

func target(p starttls.Protocol, a net.Addr) Target {
	return Target{Protocol: p, Host: name, Port: a.(*net.TCPAddr).Port, Address: a.String()}
}

// says runs a server that answers line by line from a script: its greeting, and
// then an answer to each line that comes.
func says(t *testing.T, lines ...string) net.Addr {
	t.Helper()
	return serving(t, func(nc net.Conn) {
		r := bufio.NewReader(nc)
		for _, s := range lines {
			nc.Write([]byte(s))
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
		}
	})
}

// served is the target that serving makes.
func served(t *testing.T, p starttls.Protocol, serve func(net.Conn)) Target {
	t.Helper()
	return target(p, serving(t, serve))
}

// serving runs serve for each connection, which it closes.
func serving(t *testing.T, serve func(net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(20 * time.Second))
				serve(nc)
			}()
		}
	}()
	return l.Addr()
}

// issue makes a server's configuration with a certificate of ca.
func issue(t *testing.T, ca *testca.CA, edit func(*x509.Certificate), names ...string) *starttls.Config {
	t.Helper()
	cert, err := ca.Issue(func(c *x509.Certificate) {
		c.NotAfter = time.Now().Add(90 * 24 * time.Hour)
		if edit != nil {
			edit(c)
		}
	}, names...)
	if err != nil {
		t.Fatal(err)
	}
	return &starttls.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
}

func newCA(t *testing.T) *testca.CA {
	t.Helper()
	ca, err := testca.New("test root")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// ids are those of the findings that are worse than info.
func ids(r Result) (out []string) {
	for _, f := range r.Findings {
		if f.Severity != Info {
			out = append(out, f.ID)
		}
	}
	return out
}

// fixture is a server and how the attempt to upgrade it ends.
type fixture struct {
	target func() Target
	out    Outcome
}

// The red fixtures: each finding of the catalogue on a server that has the
// fault. The green one is the same server without it, which has none.
func TestFindings(t *testing.T) {
	ca := newCA(t)
	good := func() *starttls.Config { return issue(t, ca, nil, name) }
	fixtures := map[string]fixture{
		"not-offered": {func() Target {
			return target(protocol.Submission, says(t, "220 x\r\n", "250 x\r\n", "502 no\r\n"))
		}, NotOffered},
		"masked-keyword": {func() Target {
			return target(protocol.SMTP, says(t, "220 x\r\n", "250-x\r\n250 XXXXXXXA\r\n", "500 what\r\n"))
		}, Stripped},
		"offer-removed": {func() Target {
			c := good()
			c.Offer.Keyword = "X-NOTHING"
			return serve(t, protocol.Submission, c)
		}, Stripped},
		"refused": {func() Target {
			c := good()
			c.Offer.Mode = starttls.Decline
			return serve(t, protocol.IMAP, c)
		}, Refused},
		"already-authenticated": {func() Target {
			return target(protocol.IMAP, says(t, "* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n"))
		}, Refused},
		"reply-injected": {func() Target {
			c := good()
			c.OnGoAhead = func(msg []byte) []starttls.Segment {
				return []starttls.Segment{{Data: append(slices.Clone(msg), "250 AUTH PLAIN\r\n"...)}}
			}
			return serve(t, protocol.SMTP, c)
		}, Injected},
		"cleartext-after-go-ahead": {func() Target {
			c := good()
			c.OnGoAhead = func(msg []byte) []starttls.Segment {
				return []starttls.Segment{{Data: msg}, {Data: []byte("-ERR what?\r\n"), Delay: 20 * time.Millisecond}}
			}
			return serve(t, protocol.POP3, c)
		}, CleartextAfterGo},
		"handshake-failed": {func() Target {
			c := good()
			c.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, context.Canceled }}
			return serve(t, protocol.NNTP, c)
		}, HandshakeFailed},
		"closed": {func() Target {
			return target(protocol.FTP, says(t, "220 x\r\n", "211-x\r\n AUTH TLS\r\n211 x\r\n"))
		}, Closed},
		"cert-expired": {func() Target {
			return serve(t, protocol.POP3, issue(t, ca, func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
			}, name))
		}, Upgraded},
		"cert-not-yet-valid": {func() Target {
			return serve(t, protocol.POP3, issue(t, ca, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(24 * time.Hour) }, name))
		}, Upgraded},
		"cert-name":        {func() Target { return serve(t, protocol.LDAP, issue(t, ca, nil, "other.example.test")) }, Upgraded},
		"cert-untrusted":   {func() Target { return serve(t, protocol.PostgreSQL, issue(t, newCA(t), nil, name)) }, Upgraded},
		"cert-self-signed": {func() Target { return serve(t, protocol.MySQL, presentsItself(t)) }, Upgraded},
		"cert-expires-soon": {func() Target {
			return serve(t, protocol.Sieve, issue(t, ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(100 * time.Hour) }, name))
		}, Upgraded},
		"cert-no-server-auth": {func() Target {
			return serve(t, protocol.IRC, issue(t, ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, name))
		}, Upgraded},
		"cert-is-ca": {func() Target {
			return serve(t, protocol.FTP, issue(t, ca, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, name))
		}, Upgraded},
		"starttls-in-tls":         {func() Target { return serve(t, reoffering{protocol.Submission}, good()) }, Upgraded},
		"starttls-in-tls-allowed": {func() Target { return serve(t, reoffering{protocol.POP3}, good()) }, Upgraded},
		"auth-before-tls": {func() Target {
			return target(protocol.Submission, says(t, "220 x\r\n", "250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n", "454 no\r\n"))
		}, Refused},
		"old-tls": {func() Target {
			c := good()
			c.TLS.MinVersion = tls.VersionTLS10
			return serve(t, protocol.XMPPClient, c)
		}, Upgraded},
		"cert-other-names": {func() Target { return serve(t, protocol.Submission, good()) }, Upgraded},
		"version-too-low":  {func() Target { return serve(t, protocol.IMAP, good()) }, Upgraded},
		"level-too-low":    {func() Target { return serve(t, protocol.SMTP, issue(t, newCA(t), nil, name)) }, Upgraded},
		"probe-failed":     {func() Target { return serve(t, mute{protocol.IMAP}, good()) }, Upgraded},
	}
	special := map[string]func(*Options){
		"level-too-low":    func(o *Options) { o.Require = "verify" },
		"version-too-low":  func(o *Options) { o.Profile = &Profile{MinVersion: "TLS 1.3"} },
		"cert-other-names": func(o *Options) { o.Names = []string{name, "other.example.test"} },
		"cert-long-lived":  func(o *Options) { o.Roots = nil },
		"cert-lint":        func(o *Options) { o.Roots, o.Full, o.Lint = nil, true, lint.Certificate },
		"cert-not-logged":  func(o *Options) { o.Roots = nil }, // the system's, which TestMain has made
	}
	maps.Copy(fixtures, certificateFixtures(t, ca))
	maps.Copy(fixtures, strippingFixtures(t, good))
	maps.Copy(fixtures, boundaryFixtures(t, good))
	green := Run(t.Context(), serve(t, protocol.Submission, good()), Options{Roots: ca.Pool(), Name: name, Full: true})
	if len(ids(green)) > 0 || green.Verdict != "ok" || green.Level != "verify" {
		t.Errorf("the green fixture: %s %v", green.Verdict, ids(green))
	}
	for _, e := range catalogue {
		if e.id == "addresses-differ" || e.id == "cert-other-key" || slices.ContainsFunc(slices.Concat(tlsFindings, policyFindings, stateFindings, pathFindings), func(p entry) bool { return p.id == e.id }) { // TestCompareAddresses, TestTLSFindings, TestPolicies, TestStateFindings; internal/reflection
			continue
		}
		f, ok := fixtures[e.id]
		if !ok {
			t.Errorf("%s has no red fixture", e.id)
			continue
		}
		t.Run(e.id, func(t *testing.T) {
			t.Parallel()
			at := f.target()
			o := Options{Roots: ca.Pool(), Name: name, Timeout: 5 * time.Second, Transcript: true, Full: e.id == "inject-race"}
			if with := special[e.id]; with != nil {
				with(&o)
			}
			r := Run(t.Context(), at, o)
			found := func(f Finding) bool { return f.is(e) && (f.Bad() || f.Verdict == Noted) }
			if !slices.ContainsFunc(r.Findings, found) {
				t.Errorf("got %v, outcome %s, error %+v\n%s", ids(r), r.Outcome, r.Error, strings.Join(r.Transcript, "\n"))
			}
			for _, found := range r.Findings {
				if role := at.Protocol.Info().Role; found.ID == e.id && found.Severity != e.severity[role] {
					t.Errorf("severity %s in the role %s", found.Severity, role)
				}
			}
			followsSchema(t, r)
			if r.Outcome != f.out {
				t.Errorf("outcome %s, want %s", r.Outcome, f.out)
			}
			if slices.ContainsFunc(green.Findings, found) {
				t.Errorf("the green fixture has it too")
			}
			if code := (Report{Results: []Result{r}}).ExitCode(Low); (code == 1) == (e.severity == by{Info, Info, Info}) {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// reoffering is a protocol whose server offers TLS inside TLS.
type reoffering struct{ starttls.Protocol }

func (r reoffering) Probe(w *starttls.Wire) (starttls.Hello, error) {
	h, err := r.Protocol.(starttls.Prober).Probe(w)
	h.Offered = true
	return h, err
}

func (r reoffering) Serve(w *starttls.Wire, h starttls.Hello, s starttls.Sink) error {
	return r.Protocol.(starttls.Host).Serve(w, h, s)
}

// mute is a protocol whose server hangs up inside TLS.
type mute struct{ starttls.Protocol }

func (m mute) Probe(w *starttls.Wire) (starttls.Hello, error) {
	return m.Protocol.(starttls.Prober).Probe(w)
}
func (m mute) Serve(*starttls.Wire, starttls.Hello, starttls.Sink) error { return nil }

func TestThrottledIsNotNotOffered(t *testing.T) {
	r := Run(t.Context(), target(protocol.SMTP, says(t, "421 too many connections\r\n")), Options{Name: name})
	if r.Outcome != Throttled || len(r.Findings) > 0 || (Report{Results: []Result{r}}).ExitCode(Low) != 3 {
		t.Errorf("%s %v", r.Outcome, ids(r))
	}
}

func TestNoNullLists(t *testing.T) {
	r := Run(t.Context(), target(protocol.SMTP, says(t, "421 x\r\n")), Options{Name: name})
	b, err := json.Marshal(r)
	if err != nil || strings.Contains(strings.Replace(string(b), `"error":null`, "", 1), "null") {
		t.Errorf("%s %v", b, err)
	}
}
