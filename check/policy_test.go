package check

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/internal/testdns"
	"example.org/starttls/policy/dnssec"
	"example.org/starttls/protocol"
)

// domain is a mail domain with one server, mx.mail.test, and its policies.
type domain struct {
	state testdns.State // of its zone
	zone  string        // records besides MX; SPKI stands for the served key's digest
	sts   string        // the policy that its policy host serves
	bogus bool          // its TLSA records are
	hides bool          // the mail server hides STARTTLS
	cert  func(*x509.Certificate)
}

const (
	stsRecord = "_mta-sts TXT \"v=STSv1; id=1\"\n"
	rptRecord = "_smtp._tls TXT \"v=TLSRPTv1; rua=mailto:tls@mail.test\"\n"
	tlsaGood  = "_25._tcp.mx TLSA 3 1 1 SPKI\n"
	enforce   = "version: STSv1\nmode: enforce\nmx: mx.mail.test\nmax_age: 1209600\n"
)

var tlsaBad = "_25._tcp.mx TLSA 3 1 1 " + strings.Repeat("ab", 32) + "\n"

// checked runs the servers of d and checks its mail server.
func (d domain) checked(t *testing.T) Result {
	t.Helper()
	ca, err := testca.New("root")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(func(c *x509.Certificate) {
		lasting(c)
		if d.cert != nil {
			d.cert(c)
		}
	}, "mx.mail.test", "mta-sts.mail.test")
	if err != nil {
		t.Fatal(err)
	}
	spki := sha256.Sum256(leaf.Leaf.RawSubjectPublicKeyInfo)
	zones := []testdns.Zone{{Origin: "mail.test", State: d.state, Text: "@ MX 10 mx\nmx A 127.0.0.1\n" + strings.ReplaceAll(d.zone, "SPKI", fmt.Sprintf("%x", spki))}}
	if d.bogus {
		zones = append(zones, testdns.Zone{Origin: "_25._tcp.mx.mail.test", State: testdns.Bogus, Text: "@ TLSA 3 1 1 " + fmt.Sprintf("%x", spki)})
	}
	dns, err := testdns.New(zones...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, d.sts)
	}))
	webCert, err := ca.Issue(nil, "mta-sts.mail.test")
	if err != nil {
		t.Fatal(err)
	}
	web.TLS = &tls.Config{Certificates: []tls.Certificate{webCert}}
	web.StartTLS()
	t.Cleanup(web.Close)
	cfg := &starttls.Config{TLS: &tls.Config{Certificates: []tls.Certificate{leaf}}}
	if d.hides {
		cfg.Offer.Mode = starttls.Hide
	}
	at := serve(t, protocol.SMTP, cfg)
	at.Host, at.Port = "mx.mail.test", 25
	o := Options{Roots: ca.Pool(), Name: "mx.mail.test", Timeout: 5 * time.Second, Level: Handshake, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasSuffix(addr, ":443") {
			addr = web.Listener.Addr().String()
		} else if addr != at.Address {
			return nil, fmt.Errorf("nothing is at %s", addr)
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	o.Policies = FindPolicies(t.Context(), "mail.test", dnssec.At(dns.Addr), o)
	return Run(t.Context(), at, o)
}

// The red fixtures of the policies, what each demands, and what senders do.
func TestPolicies(t *testing.T) {
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}
	red := map[string]bool{}
	for name, c := range map[string]struct {
		domain
		findings string // those of policies
		level    string // reached
		policy   string // demanded
		report   string // TLSRPT's word for the failure
		attacker string
		senders  string // opportunistic, MTA-STS, DANE, both
	}{
		"nothing":           {domain{}, "no-policy tlsrpt-missing", "verify", "may", "", "exposed", "TTTT"},
		"DANE":              {domain{state: testdns.Secure, zone: tlsaGood + rptRecord}, "", "dane", "dane", "", "safe", "TTTT"},
		"DANE, expired":     {domain{state: testdns.Secure, zone: tlsaGood + rptRecord, cert: expired}, "", "dane", "dane", "", "safe", "TTTT"},
		"DANE mismatch":     {domain{state: testdns.Secure, zone: tlsaBad + rptRecord}, "dane-mismatch", "verify", "dane", "validation-failure", "exposed", "TTWW"},
		"DANE rollover":     {domain{state: testdns.Secure, zone: tlsaBad + tlsaGood + rptRecord}, "dane-idle-records", "dane", "dane", "", "safe", "TTTT"},
		"DANE unusable":     {domain{state: testdns.Secure, zone: "_25._tcp.mx TLSA 1 1 1 SPKI\n" + rptRecord}, "dane-idle-records? dane-unusable", "verify", "encrypt", "", "exposed", "TTTT"},
		"DANE, no TLS":      {domain{state: testdns.Secure, zone: tlsaGood + rptRecord, hides: true}, "dane-no-tls", "none", "dane", "starttls-not-supported", "exposed", "CCWW"},
		"DANE bogus":        {domain{state: testdns.Secure, bogus: true, zone: rptRecord}, "dane-unreachable", "verify", "dane", "dnssec-invalid", "exposed", "TTWW"},
		"DANE insecure":     {domain{zone: tlsaGood + rptRecord}, "no-policy", "verify", "may", "", "exposed", "TTTT"},
		"MTA-STS":           {domain{zone: stsRecord + rptRecord, sts: enforce}, "", "mta-sts", "secure", "", "safe", "TTTT"},
		"MTA-STS testing":   {domain{zone: stsRecord + rptRecord, sts: strings.Replace(enforce, "enforce", "testing", 1)}, "no-policy sts-testing", "mta-sts", "may", "", "exposed", "TTTT"},
		"MTA-STS, other MX": {domain{zone: stsRecord + rptRecord, sts: strings.Replace(enforce, "mx.mail", "mx.other", 1)}, "sts-mismatch", "verify", "secure", "validation-failure", "exposed", "TWTW"},
		"MTA-STS, expired":  {domain{zone: stsRecord + rptRecord, sts: enforce, cert: expired}, "sts-mismatch", "encrypt", "secure", "certificate-expired", "exposed", "TWTW"},
		"MTA-STS broken":    {domain{zone: stsRecord + rptRecord, sts: "hello"}, "no-policy sts-broken", "verify", "may", "", "exposed", "TTTT"},
		"MTA-STS for a day": {domain{zone: stsRecord + rptRecord, sts: strings.Replace(enforce, "1209600", "86400", 1)}, "sts-short-lived", "mta-sts", "secure", "", "safe", "TTTT"},
		"TLSRPT broken":     {domain{zone: "_smtp._tls TXT \"v=TLSRPTv1; rua=\"\n"}, "no-policy tlsrpt-broken", "verify", "may", "", "exposed", "TTTT"},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.checked(t)
			followsSchema(t, r)
			var got []string
			for _, f := range r.Findings {
				if slices.ContainsFunc(policyFindings, func(e entry) bool { return e.id == f.ID }) {
					got = append(got, f.ID)
					red[f.ID] = true
				}
			}
			for _, f := range r.Findings {
				if f.Bad() && strings.HasPrefix(f.ID, "dane-") && r.Against.AttackerFix != f.Fix && r.Outcome == Upgraded {
					t.Errorf("%s, but against an attacker: %q", f.ID, r.Against.AttackerFix)
				}
			}
			if !strings.HasSuffix(r.Policy.Resolver, ", trusted: named by the user") {
				t.Errorf("resolver %q", r.Policy.Resolver)
			}
			slices.Sort(got)
			want := strings.Fields(c.findings)
			want = slices.DeleteFunc(want, func(id string) bool { return strings.HasSuffix(id, "?") && !slices.Contains(got, id[:len(id)-1]) })
			for i := range want {
				want[i] = strings.TrimSuffix(want[i], "?")
			}
			if !slices.Equal(got, want) {
				t.Errorf("findings %v, want %v", got, want)
			}
			does := ""
			for _, s := range r.Policy.Senders[:4] {
				does += map[string]string{"waits": "W", "delivers in clear": "C"}[s.Does]
				if strings.HasPrefix(s.Does, "delivers over TLS") {
					does += "T"
				}
			}
			if r.Level != c.level || r.Policy.Level != c.policy || r.Policy.ResultType != c.report || r.Against.Attacker != c.attacker || does != c.senders {
				t.Errorf("level %s, policy %s (%s), report %q, attacker %s, senders %s\n%+v", r.Level, r.Policy.Level, r.Policy.Reason, r.Policy.ResultType, r.Against.Attacker, does, r.Policy)
			}
		})
	}
	for _, e := range policyFindings {
		if !red[e.id] {
			t.Errorf("%s has no red fixture", e.id)
		}
	}
}

// Whose word on DNSSEC was not believed is told too: it is why DANE does not count.
func TestResolverThatIsNotTrusted(t *testing.T) {
	p := &Policies{asked: dnssec.Server{Addr: "192.0.2.53:53"}}
	if got, want := p.source(), "192.0.2.53:53, not trusted: no record counts as proven by DNSSEC"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
