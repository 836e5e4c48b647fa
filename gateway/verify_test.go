package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testdns"
	"example.org/starttls/policy/dane"
	"example.org/starttls/protocol"
)

const testDomain = "example.test"

// smtpBackend has STARTTLS with that certificate; its port is what TLSA records
// are about.
func smtpBackend(t *testing.T, cert tls.Certificate) (b *backend, port string) {
	b = hostBackend(t, protocol.SMTP, &starttls.Config{ServerName: testName, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	_, port, _ = net.SplitHostPort(b.addr)
	return b, port
}

func startDNS(t *testing.T, zones ...testdns.Zone) string {
	dns, err := testdns.New(zones...)
	must(t, err)
	t.Cleanup(dns.Close)
	return dns.Addr
}

// relayed tells whether a client in clear gets a session through g: "" if it
// does, else what it is told.
func relayed(t *testing.T, g *Gateway) string {
	t.Helper()
	c, err := starttls.Dial(t.Context(), g.Addrs("smtp")[0].String(), protocol.SMTP, &starttls.Config{Mode: starttls.None, LocalName: "client.example.test"})
	if err == nil {
		defer c.Close()
		_, err = c.Probe(t.Context())
	}
	var refused *starttls.RefusedError
	if errors.As(err, &refused) {
		return string(refused.Reply)
	}
	must(t, err)
	return ""
}

func hours(from, to time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(from*time.Hour), time.Now().Add(to*time.Hour)
	}
}

// The TLSA records of the backend say who it is, and nothing else does: where
// they can not, there is no session, though an authority vouches for the server.
func TestBackendByDANE(t *testing.T) {
	ca := newPKI(t)
	self, err := ca.ca.SelfSigned("other.example.test")
	must(t, err)
	expired, err := ca.ca.Issue(hours(-48, -24), testName)
	must(t, err)
	ee := func(c tls.Certificate) string {
		return dane.NewRecord(dane.DANEEE, dane.SPKI, dane.SHA256, c.Leaf).String()
	}
	ta := dane.NewRecord(dane.DANETA, dane.Cert, dane.Full, ca.ca.Certificate).String()
	for name, x := range map[string]struct {
		cert   tls.Certificate
		record string
		state  testdns.State
		why    string // in the log; "" if there is a session
	}{
		"3 1 1":                    {self, ee(self), testdns.Secure, ""},
		"3 1 1, expired":           {expired, ee(expired), testdns.Secure, ""}, // RFC 7671, section 5.1
		"2 0 0":                    {ca.pair, ta, testdns.Secure, ""},
		"2 0 0, expired":           {expired, ta, testdns.Secure, "expired"},
		"of another key":           {ca.pair, ee(self), testdns.Secure, "is not one that the TLSA records"},
		"unsigned":                 {ca.pair, ee(ca.pair), testdns.Insecure, "is not signed"},
		"bogus":                    {ca.pair, ee(ca.pair), testdns.Bogus, "DNSSEC validation failed"},
		"no answer":                {ca.pair, ee(ca.pair), testdns.Lame, "SERVFAIL"},
		"none":                     {ca.pair, "", testdns.Secure, "there is no TLSA record"},
		"unusable":                 {ca.pair, "3 1 1 abab", testdns.Secure, "is usable"},
		"1 1 1 between mail hosts": {ca.pair, "1" + ee(ca.pair)[1:], testdns.Secure, "is usable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, port := smtpBackend(t, x.cert)
			zone := testdns.Zone{Origin: testDomain, State: x.state, Text: "gw A 127.0.0.1\n"}
			if x.record != "" {
				zone.Text += "_" + port + "._tcp.gw TLSA " + x.record + "\n"
			}
			var logged syncBuffer
			g, _ := start(t, Listener{Mode: "originate", Protocol: "smtp", Backend: Backend{Address: net.JoinHostPort(testName, port), CA: ca.root,
				Verify: "dane", Resolver: startDNS(t, zone)}}, slog.New(slog.NewJSONHandler(&logged, nil)))
			said := relayed(t, g)
			want := `"backend_level":"dane"`
			if x.why != "" {
				want = x.why
			}
			waitFor(t, func() bool { return strings.Contains(logged.String(), want) })
			if (said == "") != (x.why == "") || said != "" && !strings.HasPrefix(said, "421 ") {
				t.Errorf("the client was told %q\n%s", said, logged.String())
			}
			if x.why != "" && strings.Contains(string(b.said()), "MAIL") {
				t.Errorf("the server was told %q", b.said())
			}
		})
	}
}

// In mode terminate too, and for protocols in which records of usage 1 count.
func TestTerminateByDANE(t *testing.T) {
	ca := newPKI(t)
	b := hostBackend(t, protocol.IMAP, &starttls.Config{ServerName: testName, TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}})
	_, port, _ := net.SplitHostPort(b.addr)
	for of, ok := range map[*x509.Certificate]bool{ca.pair.Leaf: true, ca.ca.Certificate: false} {
		record := dane.NewRecord(dane.PKIXEE, dane.SPKI, dane.SHA256, of)
		at := startDNS(t, testdns.Zone{Origin: testDomain, State: testdns.Secure, Text: fmt.Sprintf("gw A 127.0.0.1\n_%s._tcp.gw TLSA %s\n", port, record)})
		_, addr := start(t, Listener{Protocol: "imap", Certificates: ca.certificates(), Backend: Backend{Address: net.JoinHostPort(testName, port), TLS: "starttls", CA: ca.root,
			Verify: "dane", Resolver: at}}, quiet)
		c, err := starttls.Dial(t.Context(), addr, protocol.IMAP, ca.client())
		must(t, err)
		if _, err = c.Probe(t.Context()); (err == nil) != ok {
			t.Errorf("%s: %v", record, err)
		}
		c.Close()
	}
}

// policyHost serves a domain's policy, and its record with it.
type policyHost struct {
	*http.Server
	cert    tls.Certificate
	text    atomic.Pointer[string]
	id      atomic.Int32 // 0: there is no record
	fetches atomic.Int32
}

func newPolicyHost(t *testing.T, ca *pki, policy string) *policyHost {
	h := &policyHost{}
	var err error
	h.cert, err = ca.ca.Issue(nil, "mta-sts."+testDomain)
	must(t, err)
	h.set(policy)
	h.Server = &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	t.Cleanup(func() { h.Close() })
	return h
}

func (h *policyHost) set(policy string) {
	if h.text.Store(&policy); policy != "" {
		h.id.Add(1)
	}
}

func (h *policyHost) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h.fetches.Add(1)
	io.WriteString(w, *h.text.Load())
}

func (h *policyHost) LookupTXT(_ context.Context, name string) ([]string, error) {
	if id := h.id.Load(); id > 0 {
		return []string{fmt.Sprintf("v=STSv1; id=%d;", id)}, nil
	}
	return nil, &net.DNSError{Err: "none", Name: name, IsNotFound: true}
}

// dial answers in the place of port 443.
func (h *policyHost) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go h.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{h.cert}}))
	return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
}

// startSTS runs a gateway whose backend is held against the policy at h.
func startSTS(t *testing.T, ca *pki, cert tls.Certificate, h *policyHost, log *slog.Logger) *Gateway {
	_, port := smtpBackend(t, cert)
	at := startDNS(t, testdns.Zone{Origin: testDomain, Text: "gw A 127.0.0.1\n"})
	g, err := New(Config{Drain: 50 * time.Millisecond, Listeners: []Listener{{Listen: []string{"127.0.0.1:0"}, Mode: "originate", Protocol: "smtp",
		Backend: Backend{Address: net.JoinHostPort(testName, port), CA: ca.root, Verify: "mta-sts", Domain: testDomain, Resolver: at}}}}, log)
	must(t, err)
	sts := g.services[0].verifier.sts
	sts.Resolver, sts.Roots, sts.Dial = h, ca.ca.Pool(), h.dial
	must(t, g.Start())
	t.Cleanup(func() { g.Shutdown() })
	return g
}

func stsPolicy(mode, mx string) string {
	return "version: STSv1\nmode: " + mode + "\nmx: " + mx + "\nmax_age: 604800\n"
}

// The policy of the domain must name the backend, if it is in force; and it must
// have a certificate for that name, whatever the policy says.
func TestBackendByMTASTS(t *testing.T) {
	ca := newPKI(t)
	self, err := ca.ca.SelfSigned(testName)
	must(t, err)
	expired, err := ca.ca.Issue(hours(-48, -24), testName)
	must(t, err)
	misnamed, err := ca.ca.Issue(nil, testDomain)
	must(t, err)
	const level = `"backend_level":`
	for name, x := range map[string]struct {
		cert   tls.Certificate
		policy string
		ok     bool
		want   string // in the log
	}{
		"enforce":               {ca.pair, stsPolicy("enforce", "*."+testDomain), true, level + `"mta-sts"`},
		"enforce, not named":    {ca.pair, stsPolicy("enforce", "mx."+testDomain), false, "does not name " + testName},
		"enforce, expired":      {expired, stsPolicy("enforce", testName), false, "expired"},
		"enforce, unknown root": {self, stsPolicy("enforce", testName), false, "unknown authority"},
		"enforce, other name":   {misnamed, stsPolicy("enforce", testName), false, "not " + testName},
		"testing":               {ca.pair, stsPolicy("testing", testName), true, "in mode testing"},
		"testing, not named":    {ca.pair, stsPolicy("testing", "mx."+testDomain), true, "only being tested, and does not name " + testName},
		"testing, level":        {ca.pair, stsPolicy("testing", testName), true, level + `"verify"`},
		"testing, unknown root": {self, stsPolicy("testing", testName), false, "unknown authority"},
		"mode none":             {ca.pair, stsPolicy("none", testName), true, "in mode none"},
		"no policy":             {ca.pair, "", true, "there is none; it could not be had anew: there is no MTA-STS record"},
		"malformed":             {ca.pair, "version: STSv2\n", true, "there is none; it could not be had anew"},
		"no policy, other name": {misnamed, "", false, "not " + testName},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged syncBuffer
			g := startSTS(t, ca, x.cert, newPolicyHost(t, ca, x.policy), slog.New(slog.NewJSONHandler(&logged, nil)))
			said := relayed(t, g)
			waitFor(t, func() bool { return strings.Contains(logged.String(), x.want) })
			if (said == "") != x.ok || said != "" && !strings.HasPrefix(said, "421 ") {
				t.Errorf("the client was told %q\n%s", said, logged.String())
			}
		})
	}
}

// A policy is fetched once, and again when its record changes; one in force
// stays so when there is none to be had any more.
func TestPolicyIsKept(t *testing.T) {
	ca := newPKI(t)
	h := newPolicyHost(t, ca, stsPolicy("enforce", testName))
	var logged syncBuffer
	g := startSTS(t, ca, ca.pair, h, slog.New(slog.NewJSONHandler(&logged, nil)))
	for range 3 {
		if said := relayed(t, g); said != "" {
			t.Fatal(said)
		}
	}
	if n := h.fetches.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	h.set(stsPolicy("enforce", "mx."+testDomain))
	if said := relayed(t, g); !strings.HasPrefix(said, "421 ") {
		t.Errorf("under the new policy the client was told %q", said)
	}
	h.id.Store(0)
	if said := relayed(t, g); !strings.HasPrefix(said, "421 ") || h.fetches.Load() != 2 {
		t.Errorf("without a record the client was told %q, after %d fetches", said, h.fetches.Load())
	}
}
