package gateway

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
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
