package dnssec

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"example.org/starttls/internal/testdns"
)

func serve(t testing.TB, zones ...testdns.Zone) *Resolver {
	t.Helper()
	s, err := testdns.New(zones...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return At(s.Addr)
}

var world = []testdns.Zone{
	{Origin: "example.test", State: testdns.Secure, Text: `
@ MX 20 mx2
@ MX 10 mx1
mx1 A 192.0.2.1
mx1 60 AAAA 2001:db8::1
mx2 A 192.0.2.2
mx4 A 192.0.2.4
six AAAA 2001:db8::6
_imap._tcp SRV 10 1 143 mx2
_imap._tcp SRV 10 5 143 mx1
_imap._tcp SRV 0 0 993 imaps
_pop3._tcp SRV 0 0 0 .
t TXT "v=one; " "two"
t TXT "three"
@ CAA 0 issue "ca.example"
alias CNAME mx1
away CNAME host.plain.test.
broken CNAME host.bogus.test.
into CNAME nowhere
loop CNAME loop2
loop2 CNAME loop
c0 CNAME c1
c1 CNAME c2
c2 CNAME c3
c3 CNAME c4
c4 CNAME c5
c5 CNAME c6
c6 CNAME c7
c7 CNAME c8
c8 CNAME c9
c9 CNAME c10
c10 CNAME c11
c11 A 192.0.2.9
_25._tcp.mx1 TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000001
nomail MX 0 .
`},
	{Origin: "plain.test", Text: "host A 192.0.2.3\nback CNAME mx1.example.test.\n"},
	{Origin: "bogus.test", State: testdns.Bogus, Text: "host A 192.0.2.4"},
	{Origin: "lame.test", State: testdns.Lame},
	{Origin: "refused.test", State: testdns.Refused},
	{Origin: "silent.test", State: testdns.Silent},
}

// sum is an answer in one line, for tables.
func sum[T any](a Answer[T], err error) string {
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return "untyped error: " + err.Error()
		}
		if e.Bogus {
			return "bogus: " + e.Err.Error()
		}
		return "failed: " + e.Err.Error()
	}
	s := "insecure"
	if a.Secure {
		s = "secure"
	}
	switch {
	case a.NXDomain:
		s += " nxdomain"
	case len(a.Records) == 0:
		s += " nodata"
	default:
		var l []string
		for _, r := range a.Records {
			l = append(l, strings.Trim(fmt.Sprintf("%+v", r), "&{}"))
		}
		s += " " + strings.Join(l, ",")
	}
	return s + " at " + a.Name
}

func TestAnswers(t *testing.T) {
	r := serve(t, world...)
	addrs := func(host string) string { return sum(r.Addrs(t.Context(), "ip4", host)) }
	for _, c := range []struct{ name, got, want string }{
		{"MX, by preference", sum(r.MX(t.Context(), "Example.TEST.")), "secure Host:mx1.example.test Pref:10,Host:mx2.example.test Pref:20 at example.test"},
		{"null MX", sum(r.MX(t.Context(), "nomail.example.test")), "secure Host:. Pref:0 at nomail.example.test"},
		{"no MX", sum(r.MX(t.Context(), "mx1.example.test")), "secure nodata at mx1.example.test"},
		{"SRV, by priority and weight", sum(r.SRV(t.Context(), "_imap._tcp.example.test")), "secure Target:imaps.example.test Port:993 Priority:0 Weight:0,Target:mx1.example.test Port:143 Priority:10 Weight:5,Target:mx2.example.test Port:143 Priority:10 Weight:1 at _imap._tcp.example.test"},
		{"SRV that refuses", sum(r.SRV(t.Context(), "_pop3._tcp.example.test")), "secure Target:. Port:0 Priority:0 Weight:0 at _pop3._tcp.example.test"},
		{"CAA", sum(r.CAA(t.Context(), "example.test")), "secure Flag:0 Tag:issue Value:ca.example at example.test"},
		{"CAA of a domain above", sum(r.CAA(t.Context(), "a.mx1.example.test")), "secure Flag:0 Tag:issue Value:ca.example at example.test"},
		{"A", addrs("mx1.example.test"), "secure 192.0.2.1 at mx1.example.test"},
		{"insecure A", addrs("host.plain.test"), "insecure 192.0.2.3 at host.plain.test"},
		{"both families", sum(r.Addrs(t.Context(), "ip", "mx1.example.test")), "secure 2001:db8::1,192.0.2.1 at mx1.example.test"},
		{"AAAA alone", sum(r.Addrs(t.Context(), "ip", "six.example.test")), "secure 2001:db8::6 at six.example.test"},
		{"A alone", sum(r.Addrs(t.Context(), "ip", "mx4.example.test")), "secure 192.0.2.4 at mx4.example.test"},
		{"AAAA", sum(r.Addrs(t.Context(), "ip6", "mx1.example.test")), "secure 2001:db8::1 at mx1.example.test"},
		{"no such name", addrs("nowhere.example.test"), "secure nxdomain at nowhere.example.test"},
		{"a name above others", addrs("_tcp.example.test"), "secure nodata at _tcp.example.test"},
		{"no such name, insecure", addrs("nowhere.plain.test"), "insecure nxdomain at nowhere.plain.test"},
		{"bogus", addrs("host.bogus.test"), "bogus: DNSSEC validation failed: DNSSEC Bogus"},
		{"bogus, both families", sum(r.Addrs(t.Context(), "ip", "host.bogus.test")), "bogus: DNSSEC validation failed: DNSSEC Bogus"},
		{"no answer upstream", addrs("host.lame.test"), "failed: the server answered SERVFAIL"},
		{"refused", addrs("host.refused.test"), "failed: the server answered REFUSED"},
		{"no name", addrs("a..b"), "failed: not a domain name"},
		{"alias", addrs("alias.example.test"), "secure 192.0.2.1 at mx1.example.test"},
		{"alias to an unsigned zone", addrs("away.example.test"), "insecure 192.0.2.3 at host.plain.test"},
		{"alias in an unsigned zone", addrs("back.plain.test"), "insecure 192.0.2.1 at mx1.example.test"},
		{"alias to a bogus zone", addrs("broken.example.test"), "bogus: DNSSEC validation failed: DNSSEC Bogus"},
		{"alias to nothing", addrs("into.example.test"), "secure nxdomain at nowhere.example.test"},
		{"the alias itself", sum(r.Alias(t.Context(), "away.example.test")), "secure host.plain.test at away.example.test"},
		{"no alias", sum(r.Alias(t.Context(), "mx1.example.test")), "secure nodata at mx1.example.test"},
		{"loop", addrs("loop.example.test"), "failed: more than 10 CNAMEs in a row"},
		{"ten aliases", addrs("c1.example.test"), "secure 192.0.2.9 at c11.example.test"},
		{"eleven aliases", addrs("c0.example.test"), "failed: more than 10 CNAMEs in a row"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, c.got, c.want)
		}
	}
}

// A server that does not follow CNAMEs leaves that to whoever asks it.
func TestServerThatDoesNotFollow(t *testing.T) {
	r := serve(t, testdns.Zone{Origin: "example.test", State: testdns.Signed, Text: "a CNAME b\nb CNAME c\nc A 192.0.2.1\n"})
	if got := sum(r.Addrs(t.Context(), "ip4", "a.example.test")); got != "insecure 192.0.2.1 at c.example.test" {
		t.Error(got)
	}
}

// answering is a resolver that answers with whatever f makes of the question,
// over UDP.
func answering(t testing.TB, f func(q dns.Question, reply *dns.Msg)) *Resolver {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	s := &dns.Server{PacketConn: packets, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		f(q.Question[0], reply)
		w.WriteMsg(reply)
	})}
	go s.ActivateAndServe()
	<-started
	t.Cleanup(func() { s.Shutdown() })
	return At(packets.LocalAddr().String())
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Nothing is secure of which a part is not: no link of the way, no family.
func TestPartlySecure(t *testing.T) {
	r := answering(t, func(q dns.Question, reply *dns.Msg) {
		switch {
		case q.Name == "alias.test.":
			reply.Answer = []dns.RR{rr(t, "alias.test. CNAME host.test.")} // insecure, and not followed
		case q.Qtype == dns.TypeA:
			reply.Answer, reply.AuthenticatedData = []dns.RR{rr(t, q.Name+" A 192.0.2.1")}, true
		default:
			reply.Answer = []dns.RR{rr(t, q.Name+" AAAA 2001:db8::1")}
		}
	})
	for _, c := range []struct{ network, host, want string }{
		{"ip4", "host.test", "secure 192.0.2.1 at host.test"},
		{"ip4", "alias.test", "insecure 192.0.2.1 at host.test"},
		{"ip", "host.test", "insecure 2001:db8::1,192.0.2.1 at host.test"},
	} {
		if got := sum(r.Addrs(t.Context(), c.network, c.host)); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.network, c.host, got, c.want)
		}
	}
}

// An answer to another question is none, and records of another name are not
// taken.
func TestOtherAnswers(t *testing.T) {
	r := answering(t, func(q dns.Question, reply *dns.Msg) {
		reply.AuthenticatedData = true
		if q.Name == "asked.test." {
			reply.Question[0].Name = "other.test."
		}
		reply.Answer = []dns.RR{rr(t, "other.test. A 192.0.2.1"), rr(t, "stranger.test. CNAME other.test.")}
	})
	for host, want := range map[string]string{
		"asked.test": "failed: the server answered another question",
		"mine.test":  "secure nodata at mine.test",
		"OTHER.test": "secure 192.0.2.1 at other.test",
	} {
		if got := sum(r.Addrs(t.Context(), "ip4", host)); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestTTL(t *testing.T) {
	r := serve(t, world...)
	a, err := r.Addrs(t.Context(), "ip", "mx1.example.test")
	if err != nil || a.TTL != time.Minute || a.Server != r.Servers[0] {
		t.Errorf("TTL %v from %+v: %v", a.TTL, a.Server, err)
	}
}

func TestLookupTXT(t *testing.T) {
	r := serve(t, world...)
	got, err := r.LookupTXT(t.Context(), "t.example.test")
	if err != nil || !slices.Equal(got, []string{"v=one; two", "three"}) {
		t.Errorf("%q, %v", got, err)
	}
	for _, name := range []string{"mx1.example.test", "nowhere.example.test"} {
		var e *net.DNSError
		if _, err := r.LookupTXT(t.Context(), name); !errors.As(err, &e) || !e.IsNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	var e *Error
	if _, err := r.LookupTXT(t.Context(), "t.bogus.test"); !errors.As(err, &e) || !e.Bogus {
		t.Error(err)
	}
}

func TestLookupRR(t *testing.T) {
	r := serve(t, world...)
	rdata, name, secure, err := r.LookupRR(t.Context(), "_25._tcp.mx1.example.test", 52)
	if err != nil || name != "_25._tcp.mx1.example.test" || !secure || len(rdata) != 1 ||
		len(rdata[0]) != 35 || string(rdata[0][:3]) != "\x03\x01\x01" || rdata[0][34] != 1 {
		t.Errorf("%x, %s, %v, %v", rdata, name, secure, err)
	}
}

// What is longer than a packet comes over TCP.
func TestTruncated(t *testing.T) {
	long := strings.Repeat(`"`+strings.Repeat("x", 250)+`" `, 8)
	r := serve(t, testdns.Zone{Origin: "example.test", State: testdns.Secure, Text: "@ TXT " + long})
	got, err := r.LookupTXT(t.Context(), "example.test")
	if err != nil || len(got) != 1 || len(got[0]) != 2000 {
		t.Errorf("%d records, %v", len(got), err)
	}
}

func TestSilenceEnds(t *testing.T) {
	r := serve(t, world...)
	r.Timeout = 50 * time.Millisecond
	start := time.Now()
	got := sum(r.Addrs(t.Context(), "ip", "host.silent.test"))
	if got != "failed: no answer within 50ms: context deadline exceeded" || time.Since(start) > 2*time.Second {
		t.Errorf("%s after %v", got, time.Since(start))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if got := sum(r.MX(ctx, "host.silent.test")); got != "failed: enough" {
		t.Error(got)
	}
}

// The AD bit counts only where the server is trusted.
func TestTrust(t *testing.T) {
	r := serve(t, world...)
	for trust, want := range map[Trust]bool{Untrusted: false, Loopback: true, Named: true} {
		r.Servers[0].Trust = trust
		if a, err := r.MX(t.Context(), "example.test"); err != nil || a.Secure != want || a.Server.Trust != trust {
			t.Errorf("%v: secure %v, %v", trust, a.Secure, err)
		}
	}
}

// The next server is asked when one refuses, but not when one has found the
// answer to be bogus.
func TestNextServer(t *testing.T) {
	validating := serve(t, world...)
	other := serve(t, testdns.Zone{Origin: "test", Text: "host.refused A 192.0.2.7\nhost.bogus A 192.0.2.7\n"})
	r := &Resolver{Servers: append(validating.Servers, other.Servers...)}
	if got := sum(r.Addrs(t.Context(), "ip4", "host.refused.test")); got != "insecure 192.0.2.7 at host.refused.test" {
		t.Error(got)
	}
	if got := sum(r.Addrs(t.Context(), "ip4", "host.bogus.test")); !strings.HasPrefix(got, "bogus") {
		t.Error(got)
	}
	if got := sum((&Resolver{}).MX(t.Context(), "example.test")); got != "failed: no name server to ask" {
		t.Error(got)
	}
}

func TestSystem(t *testing.T) {
	for _, c := range []struct{ conf, want string }{
		{"nameserver 127.0.0.1\n", "[{127.0.0.1:53 trusted: on loopback}]"},
		{"nameserver 192.0.2.53\nnameserver ::1\n", "[{[::1]:53 trusted: on loopback}]"},
		{"nameserver 192.0.2.53\nnameserver 2001:db8::53\n", "[{192.0.2.53:53 not trusted} {[2001:db8::53]:53 not trusted}]"},
	} {
		file := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(file, []byte(c.conf), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := fromFile(file)
		if err != nil || fmt.Sprint(r.Servers) != c.want {
			t.Errorf("%q: %v, %v", c.conf, r, err)
		}
	}
	if _, err := fromFile(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("no error for a missing file")
	}
	for addr, want := range map[string]string{"192.0.2.53": "192.0.2.53:53", "[::1]:5353": "[::1]:5353", "::1": "[::1]:53", "[::1]": "[::1]:53"} {
		if got := At(addr).Servers[0]; got != (Server{want, Named}) {
			t.Errorf("%s: %+v", addr, got)
		}
	}
}
