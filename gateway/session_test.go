package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"

	"github.com/pires/go-proxyproto"
)

// An address where nobody listens.
func closedAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// A backend that is down is said in each protocol's own words, inside TLS, and
// the connection ends.
func TestBackendDown(t *testing.T) {
	ca := newPKI(t)
	for scheme, want := range map[string]string{
		"smtp": "421 ", "lmtp": "421 ", "imap": "* BYE [UNAVAILABLE]", "nntp": "400 ", "ftp": "421 ", "sieve": "BYE (TRYLATER)", "ldap": "\x30",
		"postgresql": "E", "xmpp-client": "<?xml", "acap": "* BYE (TRYLATER)",
	} {
		p, _, err := protocol.Lookup(scheme)
		must(t, err)
		_, addr := start(t, Listener{Protocol: scheme, Certificates: ca.certificates(), Backend: Backend{Address: closedAddr(t)}}, quiet)
		cfg := ca.client()
		cfg.Bare = true
		c, err := starttls.Dial(t.Context(), addr, p, cfg)
		must(t, err)
		c.SetDeadline(time.Now().Add(10 * time.Second))
		got, err := io.ReadAll(c)
		if !strings.HasPrefix(string(got), want) {
			t.Errorf("%s: %q, %v", scheme, got, err)
		}
		c.Close()
	}
	// Where the greeting is the backend's, the words stand in its place.
	for scheme, want := range map[string]string{"pop3": "-ERR [SYS/TEMP]", "mysql": ")\x00\x00\x00\xff\x10\x04#08004"} {
		_, addr := start(t, Listener{Protocol: scheme, Certificates: ca.certificates(), Backend: Backend{Address: closedAddr(t)}}, quiet)
		nc, err := net.Dial("tcp", addr)
		must(t, err)
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		if got, _ := io.ReadAll(nc); !strings.HasPrefix(string(got), want) {
			t.Errorf("%s: %q", scheme, got)
		}
		nc.Close()
	}
}

// Backends that misbehave end the session; the gateway goes on.
func TestBackendFaults(t *testing.T) {
	ca := newPKI(t)
	for name, handle := range map[string]func(net.Conn){
		"closes at once": func(net.Conn) {},
		"resets":         func(nc net.Conn) { nc.(*recorded).Conn.(*net.TCPConn).SetLinger(0) },
		"says garbage":   func(nc net.Conn) { nc.Write(bytes.Repeat([]byte{0xff}, 1<<16)) },
		"talks without end": func(nc net.Conn) {
			for i := 0; i < 1<<12; i++ {
				nc.Write([]byte("220-more\r\n"))
			}
		},
		"is full": func(nc net.Conn) { nc.Write([]byte("421 full\r\n")) },
	} {
		b := serveBackend(t, handle)
		g, addr := start(t, Listener{Protocol: "smtp", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}, Limits: Limits{Handshake: 2 * time.Second}}, quiet)
		c, err := starttls.Dial(t.Context(), addr, protocol.SMTP, ca.client())
		must(t, err)
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if got, _ := io.ReadAll(c); !strings.HasPrefix(string(got), "421 ") {
			t.Errorf("%s: the client was told %q", name, got)
		}
		c.Close()
		if len(g.Addrs("smtp")) != 1 {
			t.Errorf("%s: the listener is gone", name)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func waitFor(t testing.TB, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ready(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in time")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Where TLS is optional a session in clear passes, without sign-in, and TLS
// still begins a new one.
func TestOptional(t *testing.T) {
	ca := newPKI(t)
	b := hostBackend(t, protocol.SMTP, &starttls.Config{Mode: starttls.None, Hello: starttls.Hello{Caps: []string{"SIZE 1234"}, Auth: []string{"PLAIN"}}})
	_, addr := start(t, Listener{Protocol: "smtp", TLS: "optional", Certificates: ca.certificates(), ServerName: testName, Backend: Backend{Address: b.addr}}, quiet)
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	await(t, nc, "220 ")
	ask := func(command, want string) string {
		t.Helper()
		fmt.Fprintf(nc, "%s\r\n", command)
		return await(t, nc, want)
	}
	fmt.Fprintf(nc, "EHLO clear.example.test\r\n")
	await(t, nc, "250-SIZE 1234")
	await(t, nc, "250 STARTTLS")
	ask("MAIL FROM:<a@example.test>", "250 ")
	ask("RSET", "250 ")
	ask("AUTH PLAIN AGEAYg==", "538 ")
	fmt.Fprintf(nc, "EHLO again.example.test\r\n")
	if got := await(t, nc, "250 "); got != "250 SIZE 1234" {
		t.Errorf("the list in a session in clear ends with %q", got)
	}
	ask("STARTTLS", "503 ")
	ask("QUIT", "221 ")
	if got := string(b.said()); strings.Contains(got, "AUTH") || !strings.Contains(got, "EHLO clear.example.test\r\nMAIL FROM:<a@example.test>\r\n") {
		t.Errorf("the backend was told %q", got)
	}
}

// Clients in clear may sign in where the configuration says so, and nowhere else.
func TestSignInInClear(t *testing.T) {
	ca := newPKI(t)
	for name, x := range map[string]struct {
		p                     starttls.Protocol
		command, refused, yes string
	}{
		"imap":  {protocol.IMAP, "a LOGIN me secret\r\n", "a NO [PRIVACYREQUIRED]", "a OK"},
		"pop3":  {protocol.POP3, "USER me\r\nPASS secret\r\n", "-ERR sign-in is for TLS", "+OK"},
		"nntp":  {protocol.NNTP, "AUTHINFO USER secret\r\n", "483 ", "381 "},
		"sieve": {protocol.Sieve, "AUTHENTICATE \"PLAIN\" \"AG1lAHNlY3JldA==\"\r\n", "NO (ENCRYPT-NEEDED)", "OK"},
	} {
		for signIn, want := range map[string]string{"tls": x.refused, "anywhere": x.yes} {
			b := hostBackend(t, x.p, &starttls.Config{Mode: starttls.None})
			_, addr := start(t, Listener{Protocol: name, TLS: "optional", SignIn: signIn, Certificates: ca.certificates(), Backend: Backend{Address: b.addr}}, quiet)
			c, err := starttls.Dial(t.Context(), addr, x.p, &starttls.Config{Mode: starttls.None})
			must(t, err)
			if caps := strings.Join(c.Before().Caps, " "); name == "imap" && strings.Contains(caps, "LOGINDISABLED") != (signIn == "tls") {
				t.Errorf("sign_in = %s: %q is listed", signIn, caps)
			}
			c.SetDeadline(time.Now().Add(10 * time.Second))
			_, err = io.WriteString(c, x.command)
			must(t, err)
			await(t, c, want)
			c.Close()
			if got := string(b.said()); signIn == "tls" && (strings.Contains(got, "secret") || strings.Contains(got, "AG1l")) {
				t.Errorf("%s: the backend was told %q", name, got)
			}
		}
	}
}

// Limits hold for all, for one address, and before TLS.
func TestLimits(t *testing.T) {
	ca := newPKI(t)
	b := hostBackend(t, protocol.SMTP, &starttls.Config{Mode: starttls.None})
	for name, x := range map[string]struct {
		l    Limits
		tls  bool // connections get as far as a session
		want string
	}{
		"in all":         {Limits{Connections: 2}, true, "limit"},
		"of one address": {Limits{PerAddress: 2}, true, "limit"},
		"before TLS":     {Limits{Handshakes: 2}, false, "limit"},
	} {
		var log syncBuffer
		_, addr := start(t, Listener{Protocol: "smtp", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}, Limits: x.l}, slog.New(slog.NewJSONHandler(&log, nil)))
		open := func() (io.Closer, error) {
			if x.tls {
				return starttls.Dial(t.Context(), addr, protocol.SMTP, ca.client())
			}
			nc, err := net.Dial("tcp", addr)
			if err == nil {
				nc.SetDeadline(time.Now().Add(10 * time.Second))
				_, err = nc.Read(make([]byte, 1))
			}
			return nc, err
		}
		var open2 []io.Closer
		for range 2 {
			c, err := open()
			must(t, err)
			open2 = append(open2, c)
		}
		if _, err := open(); err == nil {
			t.Errorf("%s: one too many was let in", name)
		}
		waitFor(t, func() bool { return strings.Contains(log.String(), `"outcome":"`+x.want+`"`) })
		for _, c := range open2 {
			c.Close()
		}
		waitFor(t, func() bool {
			c, err := open()
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	flood := Limits{Refused: 3, Commands: 30, Line: 100, Bytes: 2000}
	_, addr := start(t, Listener{Protocol: "smtp", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}, Limits: flood}, quiet)
	for name, text := range map[string]string{"refused": strings.Repeat("FOO\r\n", 10), "commands": strings.Repeat("NOOP\r\n", 50), "a line": strings.Repeat("x", 200), "HTTP": "GET / HTTP/1.1\r\n"} {
		nc, err := net.Dial("tcp", addr)
		must(t, err)
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		nc.Write([]byte(text))
		if _, err := io.Copy(io.Discard, nc); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: the connection goes on", name)
		}
		nc.Close()
	}
}

func TestAllowAndDeny(t *testing.T) {
	ca := newPKI(t)
	b := hostBackend(t, protocol.SMTP, &starttls.Config{Mode: starttls.None})
	for _, x := range []struct {
		allow, deny []string
		ok          bool
	}{
		{nil, nil, true}, {[]string{"127.0.0.0/8"}, nil, true}, {[]string{"192.0.2.0/24"}, nil, false},
		{nil, []string{"127.0.0.1"}, false}, {[]string{"127.0.0.0/8"}, []string{"127.0.0.1"}, false}, {nil, []string{"::1"}, true},
	} {
		_, addr := start(t, Listener{Protocol: "smtp", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}, Allow: x.allow, Deny: x.deny}, quiet)
		c, err := starttls.Dial(t.Context(), addr, protocol.SMTP, ca.client())
		if err == nil {
			c.Close()
		}
		if (err == nil) != x.ok {
			t.Errorf("allow %q, deny %q: %v", x.allow, x.deny, err)
		}
	}
}

// The PROXY protocol tells the gateway who the client is, and the gateway its
// backend, with what is known of its TLS.
func TestProxyProtocol(t *testing.T) {
	ca := newPKI(t)
	for version := range byte(3) {
		for out, identify := range []string{"", "proxy-v1", "proxy-v2"} {
			got := make(chan *proxyproto.Header, 1)
			b := serveBackend(t, func(nc net.Conn) {
				if out > 0 {
					c := proxyproto.NewConn(nc)
					got <- c.ProxyHeader()
					nc = c
				}
				w := starttls.NewWire(context.Background(), nc, starttls.WireConfig{Side: starttls.ServerSide})
				protocol.SMTP.Server(w, starttls.Hello{}, starttls.Offer{Mode: starttls.NoOffer})
				protocol.SMTP.Serve(w, starttls.Hello{}, nil)
			})
			l := Listener{Protocol: "smtp", Certificates: ca.certificates(), Backend: Backend{Address: b.addr, Identify: identify}}
			if version > 0 {
				l.ProxyFrom = []string{"127.0.0.1"}
			}
			_, addr := start(t, l, quiet)
			cfg := ca.client()
			src, dst := &net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 4711}, &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 25}
			cfg.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil && version > 0 {
					_, err = proxyproto.HeaderProxyFromAddrs(version, src, dst).WriteTo(nc)
				}
				return nc, err
			}
			c, err := starttls.Dial(t.Context(), addr, protocol.SMTP, cfg)
			if err != nil {
				t.Fatalf("in %d, out %q: %v", version, identify, err)
			}
			_, err = c.Probe(t.Context())
			must(t, err)
			if out > 0 {
				h := <-got
				want := c.LocalAddr().String()
				if version > 0 {
					want = src.String()
				}
				if h.SourceAddr.String() != want || int(h.Version) != out {
					t.Errorf("in %d, out %q: the backend heard of %v", version, identify, h.SourceAddr)
				}
				if tlvs, _ := h.TLVs(); out == 2 && len(tlvs) < 2 {
					t.Errorf("the backend heard nothing of TLS: %v", tlvs)
				}
			}
			c.Close()
		}
	}
	// From where it is due, nothing comes without it; and what comes behind it is
	// not lost.
	b := hostBackend(t, protocol.SMTP, &starttls.Config{Mode: starttls.None})
	_, addr := start(t, Listener{Protocol: "smtp", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}, ProxyFrom: []string{"127.0.0.1"}}, quiet)
	for text, want := range map[string]string{"EHLO x\r\nEHLO y\r\n": "", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nEHLO x\r\n": "220", "PROXY UNKNOWN\r\nEHLO x\r\n": "220", "PROXY " + strings.Repeat("x", 200): ""} {
		nc, err := net.Dial("tcp", addr)
		must(t, err)
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(nc, text)
		buf := make([]byte, 3)
		n, _ := io.ReadFull(nc, buf)
		if string(buf[:n]) != want {
			t.Errorf("%q: %q", text, buf[:n])
		}
		nc.Close()
	}
}

// Unix sockets at both ends.
func TestUnixSockets(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", dir+"/back")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				c, err := starttls.Server(context.Background(), nc, protocol.IMAP, &starttls.Config{Mode: starttls.None})
				if err == nil {
					protocol.IMAP.Serve(c.Wire(context.Background()), starttls.Hello{}, nil)
					c.Close()
				}
			}()
		}
	}()
	ca := newPKI(t)
	g, _ := start(t, Listener{Listen: []string{dir + "/front"}, Protocol: "imap", Certificates: ca.certificates(), Backend: Backend{Address: dir + "/back"}}, quiet)
	c, err := starttls.Dial(t.Context(), dir+"/front", protocol.IMAP, ca.client())
	must(t, err)
	defer c.Close()
	if _, err := c.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := listen(dir + "/front"); err == nil {
		t.Error("a socket that is in use was taken over")
	}
	c.Close()
	g.Shutdown()
}

// SIGTERM under load: sessions go on until the limit, new ones are not taken.
func TestDrain(t *testing.T) {
	ca := newPKI(t)
	b := hostBackend(t, protocol.IMAP, &starttls.Config{Mode: starttls.None})
	cfg := Config{Drain: 10 * time.Second, Listeners: []Listener{{Listen: []string{"127.0.0.1:0"}, Protocol: "imap", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}}}}
	g, err := New(cfg, quiet)
	must(t, err)
	must(t, g.Start())
	addr := g.Addrs("imap")[0].String()
	var sessions []*starttls.Conn
	for range 20 {
		c, err := starttls.Dial(t.Context(), addr, protocol.IMAP, ca.client())
		must(t, err)
		sessions = append(sessions, c)
	}
	cut := make(chan int)
	go func() { cut <- g.Shutdown() }()
	waitFor(t, func() bool {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	for _, c := range sessions {
		if _, err := c.Probe(t.Context()); err != nil {
			t.Errorf("a session was lost before the limit: %v", err)
		}
		c.Close()
	}
	if n := <-cut; n != 0 {
		t.Errorf("%d sessions were cut", n)
	}
	// And one that does not end is cut at the limit.
	cfg.Drain = 100 * time.Millisecond
	g, err = New(cfg, quiet)
	must(t, err)
	must(t, g.Start())
	c, err := starttls.Dial(t.Context(), g.Addrs("imap")[0].String(), protocol.IMAP, ca.client())
	must(t, err)
	defer c.Close()
	_, err = c.Probe(t.Context())
	must(t, err)
	if n := g.Shutdown(); n != 1 {
		t.Errorf("%d sessions were cut", n)
	}
}

// A new configuration is for new connections; one that is not in order changes
// nothing.
func TestReload(t *testing.T) {
	ca := newPKI(t)
	one := hostBackend(t, protocol.IMAP, &starttls.Config{Mode: starttls.None})
	two := hostBackend(t, protocol.IMAP, &starttls.Config{Mode: starttls.None})
	cfg := Config{Drain: 50 * time.Millisecond, Listeners: []Listener{{Listen: []string{"127.0.0.1:0"}, Protocol: "imap", Certificates: ca.certificates(), Backend: Backend{Address: one.addr}}}}
	g, err := New(cfg, quiet)
	must(t, err)
	must(t, g.Start())
	defer g.Shutdown()
	addr := g.Addrs("imap")[0].String()
	session := func() *starttls.Conn {
		c, err := starttls.Dial(t.Context(), addr, protocol.IMAP, ca.client())
		must(t, err)
		t.Cleanup(func() { c.Close() })
		_, err = c.Probe(t.Context())
		must(t, err)
		return c
	}
	old := session()
	bad := cfg
	bad.Listeners = []Listener{cfg.Listeners[0]}
	bad.Listeners[0].Protocol = "nonsense"
	if g.Reload(bad) == nil {
		t.Error("a bad configuration was taken")
	}
	next := cfg
	next.Listeners = []Listener{cfg.Listeners[0]}
	next.Listeners[0].Backend.Address = two.addr
	must(t, g.Reload(next))
	session()
	if one.connections() != 1 || two.connections() != 1 {
		t.Errorf("%d and %d sessions on the backends", one.connections(), two.connections())
	}
	if _, err := old.Probe(t.Context()); err != nil {
		t.Errorf("the old session: %v", err)
	}
	next.Listeners = []Listener{next.Listeners[0]}
	next.Listeners[0].Listen = []string{"127.0.0.1:0", "localhost:0"}
	must(t, g.Reload(next))
	if n := len(g.Addrs("imap")); n != 2 {
		t.Errorf("%d sockets", n)
	}
	next.Listeners = []Listener{next.Listeners[0]}
	next.Listeners[0].Listen = []string{"localhost:0"}
	must(t, g.Reload(next))
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("a socket that is gone from the configuration is still open")
	}
}

func TestStatusPages(t *testing.T) {
	ca := newPKI(t)
	b := hostBackend(t, protocol.IMAP, &starttls.Config{Mode: starttls.None})
	cfg := Config{Status: "127.0.0.1:0", Pprof: true, Drain: 50 * time.Millisecond, Listeners: []Listener{{Listen: []string{"127.0.0.1:0"}, Protocol: "imap", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}}}}
	g, err := New(cfg, quiet)
	must(t, err)
	must(t, g.Start())
	defer g.Shutdown()
	get := func(path string) string {
		r, err := http.Get("http://" + g.StatusAddr().String() + path)
		must(t, err)
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		must(t, err)
		return string(text)
	}
	addr := g.Addrs("imap")[0].String()
	c, err := starttls.Dial(t.Context(), addr, protocol.IMAP, ca.client())
	must(t, err)
	_, err = c.Probe(t.Context())
	must(t, err)
	bad := ca.client()
	bad.OnAsk = func(msg []byte) []starttls.Segment {
		return []starttls.Segment{{Data: append(bytes.Clone(msg), "x y z\r\n"...)}}
	}
	if _, err := starttls.Dial(t.Context(), addr, protocol.IMAP, bad); err == nil {
		t.Fatal("an injection succeeded")
	}
	for _, want := range []string{
		`starttls_gateway_sessions{listener="imap"} 1`, `starttls_gateway_injections_total{from="client",listener="imap"} 1`,
		`starttls_gateway_connections_total{listener="imap",outcome="injected"} 1`, `version="TLS 1.3"`, `starttls_gateway_certificate_not_after_seconds{listener="imap"`,
		`starttls_gateway_phase_seconds_count{listener="imap",phase="handshake"} 1`,
	} {
		waitFor(t, func() bool { return strings.Contains(get("/metrics"), want) })
	}
	if get("/healthz") != "ok\n" || !strings.Contains(get("/debug/pprof/"), "goroutine") {
		t.Error("no health, or no pprof")
	}
	c.Close()
	waitFor(t, func() bool { return strings.Contains(get("/metrics"), `starttls_gateway_sessions{listener="imap"} 0`) })
}

// A backend whose request for TLS waits for the client's first words (MySQL): what
// it is not, or has no TLS, gets none of them, and the client is told, in the place
// of the greeting or of the answer to its sign-in.
func TestLateRequestFails(t *testing.T) {
	ca := newPKI(t)
	for name, x := range map[string]struct {
		backend *starttls.Config
		name    string // that the certificate should have
		told    string
	}{
		"no TLS":     {&starttls.Config{Mode: starttls.None}, testName, ")\x00\x00\x00\xff\x10\x04#08004"},
		"other name": {&starttls.Config{TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}}, "other.example.test", ")\x00\x00\x02\xff\x10\x04#08004"},
	} {
		b := hostBackend(t, protocol.MySQL, x.backend)
		_, addr := start(t, Listener{Mode: "originate", Protocol: "mysql", Backend: Backend{Address: b.addr, CA: ca.root, ServerName: x.name}}, quiet)
		nc, err := net.Dial("tcp", addr)
		must(t, err)
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		const secret = "the password"
		answer := slices.Concat([]byte{0, 0, 0, 1, 0, 2, 0, 0}, make([]byte, 28), []byte("me\x00"+secret)) // of protocol 4.1
		answer[0] = byte(len(answer) - 4)
		_, err = nc.Write(answer)
		must(t, err)
		if got, _ := io.ReadAll(nc); !strings.Contains(string(got), x.told) {
			t.Errorf("%s: the client was told %q", name, got)
		}
		nc.Close()
		if strings.Contains(string(b.said()), secret) {
			t.Errorf("%s: the server was told %q", name, b.said())
		}
	}
}
