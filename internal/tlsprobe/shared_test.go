package tlsprobe_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"example.org/starttls/internal/testca"
	"example.org/starttls/internal/tlsprobe"
	"example.org/starttls/internal/tlsprobe/badserver"
	"example.org/starttls/internal/tlsprobe/tlswire"
)

const name = "mail.example.test"

// theCA and certificate are made once.
var (
	theCA = sync.OnceValue(func() *testca.CA {
		ca, err := testca.New("tlsprobe test root")
		if err != nil {
			panic(err)
		}
		return ca
	})
	certificate = sync.OnceValue(func() tls.Certificate {
		cert, err := badserver.Certificate(theCA().Self(), name)
		if err != nil {
			panic(err)
		}
		return cert
	})
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen gives each connection to serve, and returns a probe of that server.
func listen(t testing.TB, serve func(net.Conn)) *tlsprobe.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			nc.SetDeadline(time.Now().Add(30 * time.Second))
			wg.Go(func() { defer nc.Close(); serve(nc) })
		}
	})
	return probe(l.Addr().String())
}

// probe asks the server at an address.
func probe(addr string) *tlsprobe.Server {
	return &tlsprobe.Server{Name: name, Parallel: 4, Timeout: 10 * time.Second,
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}}
}

// bad starts a server of the package badserver, changed by set if it is not nil.
func bad(t testing.TB, set func(*badserver.Config)) *tlsprobe.Server {
	t.Helper()
	cfg := badserver.Config{Certificate: certificate()}
	if set != nil {
		set(&cfg)
	}
	s, err := badserver.New(cfg)
	check(t, err)
	return listen(t, func(nc net.Conn) { s.Serve(nc) })
}

// std starts a server of crypto/tls.
func std(t testing.TB, cfg *tls.Config) *tlsprobe.Server {
	t.Helper()
	if cfg.Certificates == nil {
		leaf, err := theCA().Issue(nil, name)
		check(t, err)
		cfg.Certificates = []tls.Certificate{leaf}
	}
	return listen(t, func(nc net.Conn) {
		tc := tls.Server(nc, cfg)
		if tc.Handshake() == nil {
			tc.Read(make([]byte, 1))
			tc.Close()
		}
	})
}

// missing skips a test for want of a peer, or fails where peers are required.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("STARTTLS_PEERS") == "required" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// version finds the answer for a version.
func version(t testing.TB, s *tlsprobe.Server, v uint16) tlsprobe.Version {
	t.Helper()
	all, err := s.Versions(t.Context())
	check(t, err)
	for _, x := range all {
		if x.Version == v {
			return x
		}
	}
	t.Fatalf("%s was not asked for", tlswire.VersionName(v))
	panic("unreachable")
}
