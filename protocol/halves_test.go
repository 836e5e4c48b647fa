package protocol

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

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
	client = &starttls.Config{ServerName: "server.example.test", LocalName: "client.example.test", TLS: &tls.Config{RootCAs: ca.Pool()}}
	server = &starttls.Config{ServerName: "server.example.test", TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	return client, server
}

// meet brings p's two halves together over loopback.
func meet(t testing.TB, p starttls.Protocol, client, server *starttls.Config) (cc, sc *starttls.Conn, cerr, serr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			serr = err
			return
		}
		sc, serr = starttls.Server(context.Background(), nc, p, server)
	}()
	cc, cerr = starttls.Dial(context.Background(), l.Addr().String(), p, client)
	if cerr != nil {
		l.Close()
	}
	<-done
	return
}

func TestHalvesMeet(t *testing.T) {
	client, server := pair(t)
	for _, p := range All() {
		t.Run(p.Info().Name, func(t *testing.T) {
			cc, sc, cerr, serr := meet(t, p, client, server)
			if cerr != nil || serr != nil {
				t.Fatalf("client: %v; server: %v", cerr, serr)
			}
			defer cc.Close()
			defer sc.Close()
			if cc.Level() != starttls.LevelVerify || cc.TLS() == nil || sc.TLS() == nil {
				t.Errorf("level %v", cc.Level())
			}
			h, ok := p.(starttls.Host)
			if !ok {
				t.Fatal("no Host")
			}
			served := make(chan error, 1)
			go func() {
				w := starttls.NewWire(context.Background(), sc, starttls.WireConfig{Side: starttls.ServerSide, TLS: true, NoTranscript: true, ServerName: "server.example.test"})
				served <- h.Serve(w, starttls.Hello{}, nil)
				sc.Close()
			}()
			hello, err := cc.Probe(context.Background())
			if err != nil {
				t.Fatalf("probe: %v", err)
			}
			t.Logf("before: %+v\ninside: %+v\n%s", cc.Before(), hello, cc.Transcript())
			cc.Close()
			<-served
		})
	}
}
