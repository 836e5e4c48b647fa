package check

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.org/starttls/internal/testca"
	"example.org/starttls/internal/testdns"
	"example.org/starttls/policy/dnssec"
)

const autoconfigXML = `<clientConfig version="1.1"><emailProvider id="auto.test">
<incomingServer type="imap"><hostname>imap.auto.test</hostname><port>993</port><socketType>SSL</socketType></incomingServer>
<incomingServer type="pop3"><hostname>pop.auto.test</hostname><port>1110</port><socketType>STARTTLS</socketType></incomingServer>
<incomingServer type="exchange"><hostname>x.auto.test</hostname><port>4433</port></incomingServer>
<incomingServer type="imap"><hostname></hostname><port>143</port></incomingServer>
<outgoingServer type="smtp"><hostname>smtp.auto.test</hostname><port>587</port><socketType>STARTTLS</socketType></outgoingServer>
</emailProvider></clientConfig>`

// world is a name server and a web server, and the way to them.
func world(t *testing.T) (*dnssec.Resolver, Options) {
	t.Helper()
	dns, err := testdns.New(
		testdns.Zone{Origin: "example.test", State: testdns.Secure, Text: "@ MX 20 mx2\n@ MX 10 mx1\nmx1 A 127.0.0.1\nmx2 A 127.0.0.1\n" +
			"_submission._tcp SRV 0 1 587 mail\n_imaps._tcp SRV 0 1 993 mail\n_pop3._tcp SRV 0 0 0 .\n_xmpp-server._tcp SRV 0 1 5269 chat\n_imap._tcp SRV 0 1 143 mail\n"},
		testdns.Zone{Origin: "auto.test", State: testdns.Insecure, Text: "@ A 127.0.0.1\n"},
		testdns.Zone{Origin: "nomail.test", State: testdns.Insecure, Text: "@ MX 0 .\n@ A 127.0.0.1\n"},
		testdns.Zone{Origin: "bare.test", State: testdns.Insecure, Text: "@ A 127.0.0.1\n"},
		testdns.Zone{Origin: "bogus.test", State: testdns.Bogus, Text: "@ MX 10 mx\n"},
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	ca, err := testca.New("web root")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(nil, "autoconfig.auto.test")
	if err != nil {
		t.Fatal(err)
	}
	web, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "autoconfig.auto.test" || r.URL.Path != "/mail/config-v1.1.xml" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(autoconfigXML))
	})}
	go srv.Serve(web)
	t.Cleanup(func() { srv.Close() })
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		switch {
		case host == "autoconfig.auto.test":
			return new(net.Dialer).DialContext(ctx, network, web.Addr().String())
		case addr == "bare.test:143", addr == "bare.test:587", addr == "nomail.test:389":
			a, b := net.Pipe()
			b.Close()
			return a, nil
		case host == "nowhere.test":
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return nil, errors.New("nothing listens there")
	}
	return dnssec.At(dns.Addr), Options{Dialer: dial, Roots: ca.Pool()}
}

func TestDiscover(t *testing.T) {
	r, o := world(t)
	for domain, want := range map[string][]string{
		"example.test": {"MX 10 smtp://mx1.example.test:25", "MX 20 smtp://mx2.example.test:25", "SRV _imap._tcp imap://mail.example.test:143", "SRV _imaps._tcp imaps://mail.example.test:993",
			"SRV _submission._tcp submission://mail.example.test:587", "SRV _xmpp-server._tcp xmpp-server://chat.example.test:5269 as example.test"},
		"auto.test":   {"autoconfig imaps://imap.auto.test:993", "autoconfig pop3://pop.auto.test:1110", "autoconfig submission://smtp.auto.test:587"},
		"bare.test":   {"port imap://bare.test:143", "port submission://bare.test:587"},
		"nomail.test": {"port ldap://nomail.test:389"},
	} {
		found, err := Discover(t.Context(), domain, r, o)
		if err != nil {
			t.Errorf("%s: %v", domain, err)
		}
		var got []string
		for _, f := range found {
			s := f.Via + " " + f.String()
			if f.Name != f.Host {
				s += " as " + f.Name
			}
			got = append(got, s)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s", domain, strings.Join(got, "\n"))
		}
	}
}

func TestDiscoverFails(t *testing.T) {
	r, o := world(t)
	var bogus *dnssec.Error
	if _, err := Discover(t.Context(), "bogus.test", r, o); !errors.As(err, &bogus) || !bogus.Bogus {
		t.Errorf("%v", err)
	}
	if _, err := Discover(t.Context(), "192.0.2.1", r, o); !errors.Is(err, ErrNothingFound) {
		t.Errorf("%v", err)
	}
}
