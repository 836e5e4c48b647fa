package check

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/internal/tlsprobe/badserver"
	"example.org/starttls/protocol"
)

// upgradingTo runs p's server half in clear, and gives the connection to tls
// where TLS begins.
func upgradingTo(t *testing.T, p starttls.Protocol, tls func(net.Conn) error) Target {
	t.Helper()
	return served(t, p, func(nc net.Conn) {
		w := starttls.NewWire(context.Background(), nc, starttls.WireConfig{Side: starttls.ServerSide, NoTranscript: true})
		if out, err := p.Server(w, starttls.Hello{}, starttls.Offer{}); err == nil && out.TLS {
			tls(w.Conn())
		}
	})
}

// flawed is an upgrading server with one of badserver's flaws.
func flawed(t *testing.T, cert tls.Certificate, p starttls.Protocol, name string) Target {
	t.Helper()
	cfg := badserver.Config{Certificate: cert}
	i := slices.IndexFunc(badserver.Flaws, func(f badserver.Flaw) bool { return f.Name == name })
	if i >= 0 {
		badserver.Flaws[i].Set(&cfg)
	} else if name != "" {
		t.Fatalf("no flaw %q", name)
	}
	s, err := badserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return upgradingTo(t, p, s.Serve)
}

func badCertificate(t *testing.T, ca *testca.CA) tls.Certificate {
	t.Helper()
	cert, err := badserver.Certificate(ca.Self(), "server.example.test")
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// crypto is an upgrading server of crypto/tls.
func crypto(t *testing.T, cfg *tls.Config, p starttls.Protocol) Target {
	t.Helper()
	return serve(t, p, &starttls.Config{TLS: cfg})
}

// isGrease reports whether a hello has values that mean nothing.
func isGrease(h *tls.ClientHelloInfo) bool {
	return slices.ContainsFunc(h.SupportedCurves, func(c tls.CurveID) bool { return c&0x0f0f == 0x0a0a })
}

// The red fixtures of the TLS behind the upgrade, and a green one for all.
func TestTLSFindings(t *testing.T) {
	ca := newCA(t)
	good, err := ca.Issue(lasting, name)
	if err != nil {
		t.Fatal(err)
	}
	only := func(edit func(*tls.Config)) func() Target {
		return func() Target {
			cfg := &tls.Config{Certificates: []tls.Certificate{good}}
			edit(cfg)
			return crypto(t, cfg, protocol.SMTP)
		}
	}
	cert := badCertificate(t, ca)
	flaw := func(name string) func() Target { return func() Target { return flawed(t, cert, protocol.IMAP, name) } }
	red := map[string]func() Target{
		"tls-ssl": flaw("ssl3"), "tls-poodle": flaw("ssl3"), "tls-drown": flaw("ssl2"), "tls-weak-ciphers": flaw("rc4"), "tls-rc4": flaw("rc4"),
		"tls-no-forward-secrecy": flaw(""), "tls-short-dh": flaw("common-prime"), "tls-logjam": flaw("common-prime"), "tls-needs-sni": flaw("needs-sni"),
		"tls-any-alpn": flaw("any-alpn"), "tls-hello-stall": flaw("one-segment"), "tls-heartbleed": flaw("heartbleed"), "tls-ccs-injection": flaw("early-ccs"),
		"tls-robot": flaw("robot"), "tls-ticketbleed": flaw("ticketbleed"), "tls-freak": flaw("export-rsa"), "tls-export": flaw("export-rsa"), "tls-crime": flaw("deflate"),
		"tls-insecure-renegotiation": flaw("insecure-renegotiation"), "tls-renegotiation-dos": flaw("renegotiation"), "tls-fallback": flaw("no-fallback-scsv"),
		"tls-anonymous": flaw("anonymous"), "tls-null": flaw("null"), "tls-sweet32": flaw("3des"), "tls-no-extended-master": flaw("unbound-keys"), "tls-no-1.3": flaw(""), "tls-client-order": flaw("client-order"),
		"tls-no-post-quantum": only(func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }),
		"tls-intolerant": only(func(c *tls.Config) {
			c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				if isGrease(h) {
					return nil, errors.New("what is that?")
				}
				return nil, nil
			}
		}),
		"cert-other-key": func() Target {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			old, err := ca.IssueFor(key, func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
			}, name)
			if err != nil {
				t.Fatal(err)
			}
			return crypto(t, &tls.Config{Certificates: []tls.Certificate{good, old}}, protocol.SMTP)
		},
	}
	o := Options{Roots: ca.Pool(), Name: name, Timeout: 3 * time.Second, Level: Handshake, Full: true}
	enumerated := func(at Target, visited bool) Result {
		r := newRun(at, o)
		if visited {
			r.upgrade(t.Context())
		}
		r.enumerate(t.Context())()
		return r.Result
	}
	green := enumerated(crypto(t, &tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"imap"}}, protocol.IMAP), true)
	for _, e := range append(slices.Clone(tlsFindings), find("cert-other-key")) {
		t.Run(e.id, func(t *testing.T) {
			t.Parallel()
			target := red[e.id]
			if target == nil {
				t.Fatal("no red fixture")
			}
			r := enumerated(target(), e.id == "cert-other-key")
			at := func(r Result) Finding {
				if i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.ID == e.id }); i >= 0 {
					return r.Findings[i]
				}
				return Finding{}
			}
			want := e.severity[r.roleOf(protocol.All())]
			if f := at(r); !f.Bad() && !(want == Info && f.Verdict == Noted) || f.Severity != want {
				t.Errorf("red: %q %s %q, want %s; %s %+v", f.Verdict, f.Severity, f.Detail, want, r.Outcome, r.Error)
			}
			if f := at(green); f.Bad() || f.Verdict == Noted {
				t.Errorf("green: %q %q", f.Verdict, f.Detail)
			}
		})
	}
}

func (r Result) roleOf(all []starttls.Protocol) starttls.Role {
	i := slices.IndexFunc(all, func(p starttls.Protocol) bool { return p.Info().Name == r.Protocol })
	return all[i].Info().Role
}

// The two questions of the default find what they are for, too.
func TestTLSQuickly(t *testing.T) {
	cert := badCertificate(t, newCA(t))
	red := map[string]string{"tls-weak-ciphers": "3des", "tls-hello-stall": "one-segment"}
	for id, flaw := range red {
		r := &run{target: flawed(t, cert, protocol.IMAP, flaw), options: Options{Name: name, Timeout: 2 * time.Second}, version: tls.VersionTLS12}
		r.connector = newConnector(r.options, r.target.Address)
		for _, test := range r.tlsTests() {
			got := test.try(t.Context(), r)
			if bad := got.verdict == Warn; bad != (test.id == id) {
				t.Errorf("%s on a server with %s: %s %s", test.id, flaw, got.verdict, got.detail)
			}
		}
	}
}

// What needs no session inside TLS is tested where none lives, and the rest is
// skipped and said to be.
func TestTLSOfADeadSession(t *testing.T) {
	ca := newCA(t)
	at := flawed(t, badCertificate(t, ca), protocol.IMAP, "3des")
	r := Run(t.Context(), at, Options{Roots: ca.Pool(), Name: "server.example.test", Timeout: time.Second})
	got := map[string]Verdict{}
	for _, f := range r.Findings {
		got[f.ID] = f.Verdict
	}
	for id, want := range map[string]Verdict{"probe-failed": Warn, "tls-weak-ciphers": Vulnerable, "tls-hello-stall": Passed, "old-tls": Passed, "tls-not-required": Passed, "inject-segment": Skipped, "starttls-twice": Skipped} {
		if got[id] != want {
			t.Errorf("%s: %q, want %q", id, got[id], want)
		}
	}
}

// A client's certificate that is wanted is no refusal of the version.
func TestOldTLSThatWantsACertificate(t *testing.T) {
	ca := newCA(t)
	c := issue(t, ca, nil, name)
	c.TLS.MinVersion, c.TLS.ClientAuth = tls.VersionTLS10, tls.RequireAnyClientCert
	if r := Run(t.Context(), serve(t, protocol.IMAP, c), Options{Roots: ca.Pool(), Name: name}); !slices.Contains(ids(r), "old-tls") {
		t.Errorf("%s %v", r.Outcome, ids(r))
	}
}

// Nobody on the path is kept from a server whose memory can be read, however
// well its certificate verifies; a suite that a careful client does not take
// harms it not.
func TestAttackerOfBrokenTLS(t *testing.T) {
	ca := newCA(t)
	cert := badCertificate(t, ca)
	for flaw, fix := range map[string]string{"heartbleed": find("tls-heartbleed").fix, "insecure-renegotiation": find("tls-insecure-renegotiation").fix, "null": ""} {
		at := flawed(t, cert, protocol.IMAP, flaw)
		r := Run(t.Context(), at, Options{Roots: ca.Pool(), Name: "server.example.test", Timeout: time.Second, Level: Handshake, Full: true})
		want := Against{Eavesdropper: "safe", Attacker: "safe", AttackerFix: fix}
		if fix != "" {
			want.Attacker = "exposed"
		}
		if r.Level != "verify" || r.Against != want {
			t.Errorf("%s: level %s, %+v, %v", flaw, r.Level, r.Against, ids(r))
		}
	}
}
