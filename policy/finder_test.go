package policy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.org/starttls/internal/testca"
	"example.org/starttls/internal/testdns"
	"example.org/starttls/policy/dnssec"
	"example.org/starttls/policy/mtasts"
	"example.org/starttls/policy/tlsrpt"
)

// policyHost serves the MTA-STS policy of signed.test, and returns its client.
func policyHost(t testing.TB, resolver *dnssec.Resolver) *mtasts.Client {
	t.Helper()
	ca, err := testca.New("test root")
	check(t, err)
	cert, err := ca.Issue(nil, "mta-sts.signed.test", "mta-sts.unsigned.test")
	check(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "version: STSv1\nmode: enforce\nmx: *.signed.test\nmax_age: 604800\n")
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return &mtasts.Client{Resolver: resolver, Roots: ca.Pool(), Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}}
}

var tlsaText = "TLSA 3 1 1 " + strings.Repeat("ab", 32)

func TestFinder(t *testing.T) {
	server, err := testdns.New(
		testdns.Zone{Origin: "signed.test", State: testdns.Secure, Text: `
@ MX 20 mx2
@ MX 10 mx1
mx1 A 192.0.2.1
mx2 A 192.0.2.2
_25._tcp.mx1 ` + tlsaText + `
_mta-sts TXT "v=STSv1; id=1"
_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@signed.test"
alias CNAME @
nomail MX 0 .
self A 192.0.2.3
_25._tcp.self ` + tlsaText + `
selfalias CNAME self
partly MX 10 mx1
partly MX 20 mx.bogus.test.
`},
		testdns.Zone{Origin: "unsigned.test", Text: "@ MX 10 mx1.signed.test.\n@ MX 20 mx.elsewhere.test.\n_mta-sts TXT \"v=STSv1; id=1\"\n"},
		testdns.Zone{Origin: "elsewhere.test", Text: "mx A 192.0.2.4"},
		testdns.Zone{Origin: "bogus.test", State: testdns.Bogus, Text: "@ MX 10 mx"})
	check(t, err)
	t.Cleanup(server.Close)
	resolver := dnssec.At(server.Addr)
	f := &Finder{DNS: resolver, STS: policyHost(t, resolver)}

	for _, c := range []struct {
		domain string
		signed bool   // its MX record
		want   string // its hosts, their level, and the names that their certificates may bear; none if it takes no mail
	}{
		{"Signed.TEST.", true, "mx1.signed.test dane [mx1.signed.test signed.test], mx2.signed.test secure []"},
		{"alias.signed.test", true, "mx1.signed.test dane [mx1.signed.test alias.signed.test signed.test], mx2.signed.test may []"},
		{"self.signed.test", true, "self.signed.test dane [self.signed.test]"},
		{"selfalias.signed.test", true, "selfalias.signed.test dane [self.signed.test selfalias.signed.test]"},
		{"nomail.signed.test", true, ""},
		{"partly.signed.test", true, "mx1.signed.test dane [mx1.signed.test partly.signed.test], mx.bogus.test deferred []"},
		{"unsigned.test", false, "mx1.signed.test secure [mx1.signed.test], mx.elsewhere.test deferred []"},
	} {
		d, err := f.Domain(t.Context(), c.domain)
		if err != nil {
			t.Errorf("%s: %v", c.domain, err)
			continue
		}
		var hosts []string
		for _, h := range d.Hosts {
			e := Effective(May, h)
			level := e.Level.String()
			if e.Defer {
				level = "deferred"
			}
			hosts = append(hosts, fmt.Sprint(h.Name, " ", level, " ", h.DANE.Names))
		}
		if got := strings.Join(hosts, ", "); got != c.want || d.MXSecure != c.signed || d.NullMX != (c.want == "") {
			t.Errorf("%s: %s (%+v)\nwant %s", c.domain, got, d, c.want)
		}
	}

	var bogus *dnssec.Error
	if _, err := f.Domain(t.Context(), "bogus.test"); !errors.As(err, &bogus) || !bogus.Bogus {
		t.Error(err)
	}
	if _, err := f.Domain(t.Context(), "nowhere.signed.test"); !errors.Is(err, ErrNoDomain) {
		t.Error(err)
	}
	d, err := f.Domain(t.Context(), "signed.test")
	check(t, err)
	if !d.MXSecure || fmt.Sprint(d.TLSRPT.RUA, d.TLSRPTErr) != "[mailto:tls@signed.test] <nil>" || d.STS.ID != "1" {
		t.Errorf("%+v", d)
	}
	if d, err = f.Domain(t.Context(), "self.signed.test"); err != nil || !errors.Is(d.TLSRPTErr, tlsrpt.ErrNoRecord) || !errors.Is(d.STS.Err, mtasts.ErrNoRecord) {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err = (&Finder{DNS: resolver, Port: 26}).Domain(t.Context(), "signed.test"); err != nil || d.STS.Policy != nil || d.Hosts[0].DANE.Base != "" {
		t.Errorf("%+v, %v", d, err)
	}
}
