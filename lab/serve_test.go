package lab

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"
)

// told collects results as they come.
type told chan Result

func (c told) wait(t *testing.T, id string) Result {
	t.Helper()
	for {
		select {
		case r := <-c:
			if r.Case == id {
				return r
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing is told of %s", id)
		}
	}
}

func pool(t *testing.T, pem []byte) *x509.CertPool {
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no root")
	}
	return p
}

// callTo is what a careless client is told of a server.
func callTo(p starttls.Protocol, addr string) Call {
	host, port, _ := net.SplitHostPort(addr)
	return Call{Protocol: p, Host: host, Port: port, Addr: addr, User: "me", Password: "bait-0123456789"}
}

func TestStandAlone(t *testing.T) {
	results := make(told, 100)
	open := func(r Rotation) *Lab {
		l, err := Open(t.Context(), Options{Protocols: []starttls.Protocol{protocol.Submission}, Cases: []string{"cert-self", "cert-expired", "strip-caps-refuse"}, OnResult: func(r Result) { results <- r }}, r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		return l
	}
	dial := func(l *Lab, addr, name string) error {
		c, err := starttls.Dial(t.Context(), addr, protocol.Submission, &starttls.Config{ServerName: name, TLS: &tls.Config{RootCAs: pool(t, l.RootPEM)}})
		if err == nil {
			c.Close()
		}
		return err
	}

	byPort := open(ByPort)
	for _, s := range byPort.Servers {
		if err := dial(byPort, s.Addr, hostName); err == nil {
			t.Errorf("%s: the library takes it", s.Case)
		}
		if r := results.wait(t, s.Case); r.Verdict != OK {
			t.Errorf("%s: %s: %s", s.Case, r.Verdict, r.Detail)
		}
		beCareless(t.Context(), callTo(s.Protocol, s.Addr))
		if r := results.wait(t, s.Case); r.Score != Secrets && r.Score != SecretTLS && r.Connections != 1 {
			t.Errorf("%s: %+v", s.Case, r)
		}
	}

	byOrder := open(ByOrder)
	for _, id := range []string{"strip-caps-refuse", "cert-self", "cert-expired", "strip-caps-refuse"} {
		dial(byOrder, byOrder.Servers[0].Addr, hostName)
		results.wait(t, id)
	}

	bySNI := open(BySNI)
	if err := dial(bySNI, bySNI.Servers[0].Addr, "cert-expired.example.test"); err == nil {
		t.Error("an expired certificate is taken")
	}

	byUser := open(ByUser)
	addr := byUser.Servers[0].Addr
	c, err := starttls.Dial(t.Context(), addr, protocol.Submission, &starttls.Config{Mode: starttls.None})
	if err != nil {
		t.Fatal(err)
	}
	if err := protocol.Submission.Authenticate(c.Wire(t.Context()), "PLAIN", []byte("\x00lab-cert-expired\x00secret"), nil); err != nil {
		t.Fatal(err)
	}
	c.Close()
	results.wait(t, "strip-caps-refuse")
	if err := dial(byUser, addr, hostName); err == nil {
		t.Error("the case that was chosen by its user is not met")
	}
	if r := results.wait(t, "cert-expired"); r.Verdict != OK {
		t.Errorf("%+v", r)
	}
}

// real is a server that is honest.
func real(t *testing.T, p starttls.Protocol) (addr string, roots *x509.CertPool) {
	t.Helper()
	ca, err := testca.New("real root")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(nil, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hello := starttls.Hello{Software: "the real one"}
	l := starttls.NewListener(tcp, p, &starttls.Config{Hello: hello, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				p.(starttls.Host).Serve(nc.(*starttls.Conn).Wire(context.Background()), hello, nil)
			}()
		}
	}()
	return tcp.Addr().String(), ca.Pool()
}

// Between client and server: transparent where it does not lie, for every
// protocol; and it hears what the careless give away.
func TestBetween(t *testing.T) {
	for _, p := range Protocols() {
		t.Run(p.Info().Name, func(t *testing.T) {
			addr, roots := real(t, p)
			results := make(told, 100)
			between := func(id string) *Middle {
				m, err := Between(t.Context(), MiddleOptions{Protocol: p, Listen: "127.0.0.1:0", Server: addr, Case: id,
					Config: &starttls.Config{TLS: &tls.Config{RootCAs: roots}}, OnResult: func(r Result) { results <- r }})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(m.Close)
				return m
			}
			m := between(honestID)
			c, err := starttls.Dial(t.Context(), m.Addr, p, &starttls.Config{TLS: &tls.Config{RootCAs: pool(t, m.RootPEM)}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Probe(t.Context()); err != nil {
				t.Errorf("inside TLS, through the middle: %v", err)
			}
			c.Close()
			for _, id := range []string{"error-perm", "cert-untrusted-ca"} {
				m := between(id)
				if c, err := starttls.Dial(t.Context(), m.Addr, p, &starttls.Config{TLS: &tls.Config{RootCAs: pool(t, m.RootPEM)}}); err == nil {
					c.Close()
					t.Errorf("%s: the library takes it", id)
				}
			}
		})
	}
}

// Of a session in clear it hears what is given away, and not the secret.
func TestBetweenHears(t *testing.T) {
	addr, roots := real(t, protocol.Submission)
	results := make(told, 10)
	m, err := Between(t.Context(), MiddleOptions{Protocol: protocol.Submission, Listen: "127.0.0.1:0", Server: addr, Case: "strip-caps-refuse",
		Config: &starttls.Config{TLS: &tls.Config{RootCAs: roots}}, OnResult: func(r Result) { results <- r }})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	c, err := starttls.Dial(t.Context(), m.Addr, protocol.Submission, &starttls.Config{Mode: starttls.None})
	if err != nil {
		t.Fatal(err)
	}
	w := c.Wire(t.Context())
	if err := protocol.Submission.Authenticate(w, "PLAIN", []byte("\x00me\x00hunter2secret"), nil); err != nil {
		t.Fatalf("the real server does not answer: %v", err)
	}
	c.Close()
	r := results.wait(t, "strip-caps-refuse")
	if r.Score != Secrets || len(r.Leaks) != 1 || r.Leaks[0].User != "me" || r.Leaks[0].Length != len("hunter2secret") || strings.Contains(strings.Join(r.Evidence, " "), "hunter2") {
		t.Errorf("%+v", r)
	}
}

// A server that takes no sign-in in clear says so there. To a client from whom
// TLS is kept the middle lists what the server has inside it.
func TestBetweenListsSigningIn(t *testing.T) {
	addr, roots := real(t, protocol.IMAP)
	for id, want := range map[string]string{honestID: "LOGINDISABLED", "strip-caps-refuse": "AUTH=PLAIN", "error-perm": "AUTH=PLAIN"} {
		m, err := Between(t.Context(), MiddleOptions{Protocol: protocol.IMAP, Listen: "127.0.0.1:0", Server: addr, Case: id, Config: &starttls.Config{TLS: &tls.Config{RootCAs: roots}}})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		nc, err := net.Dial("tcp", m.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		greeting, err := bufio.NewReader(nc).ReadString('\n')
		other := map[bool]string{true: "AUTH=PLAIN", false: "LOGINDISABLED"}[id == honestID]
		if err != nil || !strings.Contains(greeting, want) || strings.Contains(greeting, other) {
			t.Errorf("%s: %q, %v", id, greeting, err)
		}
	}
}
