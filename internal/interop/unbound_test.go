package interop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"example.org/starttls/internal/testdns"
	"example.org/starttls/policy/dnssec"
)

// Unbound: a validating resolver, whose only trust anchor is that of the zone
// example.test. That one and unsigned.test come from testdns:
//
//	dnssec.Resolver, posttls-finger -- DNS --> Unbound -- DNS --> testdns

type unbound struct {
	*server
	DNS   string          // where it answers
	IP    string          // and once more, at port 53 of this loopback address, for clients that know no other port
	Zones *testdns.Server // what it asks
}

func startUnbound(t testing.TB, zones ...testdns.Zone) *unbound {
	t.Helper()
	served, err := testdns.New(zones...)
	check(t, err)
	t.Cleanup(served.Close)
	conf := fmt.Sprintf("server:\n  trust-anchor: %q\n  local-zone: \"test.\" nodefault\n  do-not-query-localhost: no\n", served.Anchor("example.test"))
	addr := strings.Replace(served.Addr, ":", "@", 1)
	for _, z := range zones {
		conf += fmt.Sprintf("stub-zone:\n  name: %s.\n  stub-addr: %s\n", z.Origin, addr)
	}
	u := runUnbound(t, conf, served.Addr)
	u.Zones = served
	return u
}

// runUnbound starts it with further lines of configuration. For all names that
// those do not lead elsewhere it asks the name server at rest, which refuses:
// no question leaves the machine.
func runUnbound(t testing.TB, more, rest string) *unbound {
	t.Helper()
	const program = "/usr/sbin/unbound"
	u := &unbound{server: newServer(t, "unbound", program), DNS: freeAddr(t), IP: freeLoopback(t)}
	conf := fmt.Sprintf(`server:
  directory: %q
  chroot: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  interface: 127.0.0.1@%s
  interface: %s@53
  access-control: 127.0.0.0/8 allow
  module-config: "validator iterator"
  ede: yes
  val-log-level: 2
remote-control:
  control-enable: no
forward-zone:
  name: .
  forward-addr: %s
%s`, u.Dir, portOf(u.DNS), u.IP, strings.Replace(rest, ":", "@", 1), more)
	u.run(t, "root", []string{u.DNS, net.JoinHostPort(u.IP, "53")}, program, "-d", "-c", u.write(t, "unbound.conf", conf, 0o644))
	return u
}

// freeLoopback returns a loopback address where nobody listens at port 53.
func freeLoopback(t testing.TB) string {
	t.Helper()
	for range 1000 {
		ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		if _, again := taken.LoadOrStore(ip, true); again {
			continue
		}
		if l, err := net.Listen("tcp", net.JoinHostPort(ip, "53")); err == nil {
			l.Close()
			return ip
		}
	}
	t.Fatal("no loopback address with a free port 53")
	return ""
}

// What Unbound has validated is what we call secure, insecure and bogus.
func TestUnboundValidates(t *testing.T) {
	t.Parallel()
	u := startUnbound(t, testdns.Zone{Origin: "example.test", State: testdns.Signed, Broken: []string{"broken.example.test"}, Text: `
@ MX 10 mx
mx A 192.0.2.1
alias CNAME mx
away CNAME host.unsigned.test.
broken A 192.0.2.2
_25._tcp.mx TLSA 3 1 1 ` + strings.Repeat("ab", 32) + `
long TXT ` + strings.Repeat(`"`+strings.Repeat("x", 250)+`" `, 8)},
		testdns.Zone{Origin: "unsigned.test", Text: "host A 192.0.2.3\nback CNAME mx.example.test.\n"})
	r := dnssec.At(u.DNS)
	addr := func(name string) (bool, bool, int, error) {
		a, err := r.Addrs(t.Context(), "ip4", name)
		return a.Secure, a.NXDomain, len(a.Records), err
	}
	for name, want := range map[string]string{
		"mx.example.test":       "true false 1 <nil>",
		"alias.example.test":    "true false 1 <nil>",
		"example.test":          "true false 0 <nil>",
		"_tcp.mx.example.test":  "true false 0 <nil>",
		"nowhere.example.test":  "true true 0 <nil>",
		"away.example.test":     "false false 1 <nil>",
		"host.unsigned.test":    "false false 1 <nil>",
		"back.unsigned.test":    "false false 1 <nil>",
		"nowhere.unsigned.test": "false true 0 <nil>",
	} {
		secure, nx, n, err := addr(name)
		if got := fmt.Sprint(secure, nx, n, err); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	var e *dnssec.Error
	if _, _, _, err := addr("broken.example.test"); !errors.As(err, &e) || !e.Bogus || !strings.Contains(err.Error(), "Signature Expired") {
		t.Errorf("broken: %v", err)
	}
	if _, _, _, err := addr("host.elsewhere.test"); !errors.As(err, &e) || e.Bogus {
		t.Errorf("elsewhere, of which it knows nobody: %v", err)
	}
	if a, err := r.Alias(t.Context(), "away.example.test"); err != nil || !a.Secure || len(a.Records) != 1 {
		t.Errorf("the alias itself: %+v, %v", a, err)
	}
	if a, err := r.MX(t.Context(), "example.test"); err != nil || !a.Secure || a.Records[0].Host != "mx.example.test" {
		t.Errorf("MX: %+v, %v", a, err)
	}
	if rdata, _, secure, err := r.LookupRR(context.Background(), "_25._tcp.mx.example.test", 52); err != nil || !secure || len(rdata) != 1 {
		t.Errorf("TLSA: %x, %v, %v", rdata, secure, err)
	}
	if txt, err := r.LookupTXT(t.Context(), "long.example.test"); err != nil || len(txt) != 1 || len(txt[0]) != 2000 {
		t.Errorf("TXT over TCP: %v", err)
	}
}
