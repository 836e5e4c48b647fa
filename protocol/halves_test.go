package protocol

import (
	"context"
	"crypto/tls"
	"net"
	"reflect"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
)

// pair gives the configurations of a client and a server that trust each other.
func pair(t testing.TB) (client, server *starttls.Config) {
	t.Helper()
	ca, err := testca.New("test root")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(nil, "server.example.test")
	if err != nil {
		t.Fatal(err)
	}
	patience := starttls.Timeouts{Cleartext: 20 * time.Second, Handshake: 20 * time.Second} // for a fault that would hang
	client = &starttls.Config{ServerName: "server.example.test", LocalName: "client.example.test", Timeouts: patience, TLS: &tls.Config{RootCAs: ca.Pool()}}
	server = &starttls.Config{ServerName: "server.example.test", Timeouts: patience, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	return client, server
}

// meeting is p's server half on loopback, serving one connection.
type meeting struct {
	addr     string
	upgraded chan struct{} // closed when Server has returned
	conn     *starttls.Conn
	err      error      // Server's
	served   chan error // Serve's, if it got that far
	leaks    []starttls.Leak
}

func host(t testing.TB, p starttls.Protocol, cfg *starttls.Config) *meeting {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m := &meeting{addr: l.Addr().String(), upgraded: make(chan struct{}), served: make(chan error, 1)}
	go func() {
		nc, err := l.Accept()
		l.Close()
		if err != nil {
			m.err = err
			close(m.upgraded)
			return
		}
		m.conn, m.err = starttls.Server(context.Background(), nc, p, cfg)
		close(m.upgraded)
		if m.err == nil {
			w := m.conn.Wire(context.Background())
			m.served <- p.(starttls.Host).Serve(w, cfg.Hello, func(l starttls.Leak) { m.leaks = append(m.leaks, l) })
			m.conn.Close()
		}
	}()
	return m
}

func TestHalvesMeet(t *testing.T) {
	client, server := pair(t)
	for _, p := range every(t) {
		for _, mode := range []starttls.Mode{starttls.Required, starttls.Implicit, starttls.None} {
			t.Run(p.Info().Name+"/"+mode.String(), func(t *testing.T) {
				cc, sc := *client, *server
				cc.Mode, sc.Mode = mode, mode
				m := host(t, p, &sc)
				conn, err := starttls.Dial(context.Background(), m.addr, p, &cc)
				<-m.upgraded
				if err != nil || m.err != nil {
					t.Fatalf("client: %v; server: %v", err, m.err)
				}
				defer conn.Close()
				want := starttls.LevelVerify
				if mode == starttls.None {
					want = starttls.LevelNone
				}
				if conn.Level() != want || (conn.TLS() == nil) != (mode == starttls.None) {
					t.Errorf("level %v, want %v", conn.Level(), want)
				}
				hello, err := conn.Probe(context.Background())
				if err != nil {
					t.Fatalf("probe: %v\n%s", err, conn.Transcript())
				}
				if inside := conn.Inside(); !reflect.DeepEqual(inside, hello) {
					t.Errorf("inside it said %+v, not %+v", hello, inside)
				}
				if p.Info().HelloInTLS && hello.Offered && mode != starttls.None {
					t.Errorf("TLS is offered inside TLS")
				}
				t.Logf("before: %+v\ninside: %+v\n%s", conn.Before(), hello, conn.Transcript())
				conn.Close()
				<-m.served
			})
		}
	}
}
