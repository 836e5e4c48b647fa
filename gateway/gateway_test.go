package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"
)

// What the tests' gateways and backends are called.
const testName = "gw.example.test"

// pki is a throw-away authority and a certificate of it in files.
type pki struct {
	ca        *testca.CA
	dir       string
	root      string // file
	cert, key string // files
	pair      tls.Certificate
}

func newPKI(t testing.TB) *pki {
	t.Helper()
	ca, err := testca.New("gateway test root")
	must(t, err)
	p := &pki{ca: ca, dir: t.TempDir()}
	p.root = filepath.Join(p.dir, "root.pem")
	must(t, os.WriteFile(p.root, ca.PEM(), 0o600))
	p.pair, err = ca.Issue(nil, testName, "localhost", "127.0.0.1")
	must(t, err)
	p.cert, p.key = p.write(t, "main", p.pair)
	return p
}

func (p *pki) write(t testing.TB, name string, c tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	must(t, err)
	var chain bytes.Buffer
	for _, b := range c.Certificate {
		pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: b})
	}
	cert, key = filepath.Join(p.dir, name+".crt"), filepath.Join(p.dir, name+".key")
	must(t, os.WriteFile(cert, chain.Bytes(), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return cert, key
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// backend is a server of ours that records every byte it is sent.
type backend struct {
	addr string
	mu   sync.Mutex
	got  bytes.Buffer
	open int // connections so far
}

func (b *backend) said() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got.Bytes())
}

func (b *backend) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

type recorded struct {
	net.Conn
	b *backend
}

func (c *recorded) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.b.mu.Lock()
	c.b.got.Write(p[:n])
	c.b.mu.Unlock()
	return n, err
}

// serve runs handle for each connection until the test ends.
func serveBackend(t testing.TB, handle func(nc net.Conn)) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	b := &backend{addr: l.Addr().String()}
	var open sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	open.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.open++
			b.mu.Unlock()
			open.Go(func() {
				stop := context.AfterFunc(ctx, func() { nc.Close() })
				defer stop()
				defer nc.Close()
				handle(&recorded{nc, b})
			})
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); open.Wait() })
	return b
}

// hostBackend serves p's minimal session, brought to its resume point by cfg.
func hostBackend(t testing.TB, p starttls.Protocol, cfg *starttls.Config) *backend {
	t.Helper()
	return serveBackend(t, func(nc net.Conn) {
		c, err := starttls.Server(t.Context(), nc, p, cfg)
		if err != nil {
			return
		}
		w := c.Wire(context.Background())
		defer w.Release()
		p.(starttls.Host).Serve(w, cfg.Hello, nil)
		c.CloseWrite()
	})
}

// start runs a gateway of one listener until the test ends, and returns it with
// the listener's address.
func start(t testing.TB, l Listener, log *slog.Logger) (*Gateway, string) {
	t.Helper()
	if l.Listen == nil {
		l.Listen = []string{"127.0.0.1:0"}
	}
	if log == nil {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	g, err := New(Config{Drain: 50 * time.Millisecond, Listeners: []Listener{l}}, log)
	must(t, err)
	must(t, g.Start())
	t.Cleanup(func() { g.Shutdown() })
	return g, g.Addrs(or(l.Name, l.Protocol))[0].String()
}

func (p *pki) certificates() []Certificate { return []Certificate{{Cert: p.cert, Key: p.key}} }

func (p *pki) client() *starttls.Config {
	return &starttls.Config{ServerName: testName, LocalName: "client.example.test", TLS: &tls.Config{RootCAs: p.ca.Pool()}}
}

// can lists the protocols that a gateway can end the TLS of.
func can() []starttls.Protocol {
	return slices.DeleteFunc(protocol.All(), func(p starttls.Protocol) bool {
		_, not := p.(starttls.Unspliceable)
		return not
	})
}

// Every protocol, in every way to its backend and from its clients: a client
// comes to TLS, and its session lives.
func TestEveryProtocol(t *testing.T) {
	ca := newPKI(t)
	clear := &starttls.Config{Mode: starttls.None, ServerName: testName}
	upgraded := &starttls.Config{ServerName: testName, TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}}
	implicit := &starttls.Config{Mode: starttls.Implicit, ServerName: testName, TLS: upgraded.TLS}
	for _, p := range can() {
		i := p.Info()
		for _, c := range []struct {
			name    string
			backend *starttls.Config
			l       Listener
			mode    starttls.Mode // of the client
		}{
			{"terminate", clear, Listener{}, starttls.Required},
			{"implicit", clear, Listener{Accept: "implicit"}, starttls.Implicit},
			{"both, STARTTLS", clear, Listener{Accept: "both"}, starttls.Required},
			{"both, implicit", clear, Listener{Accept: "both"}, starttls.Implicit},
			{"to STARTTLS", upgraded, Listener{Backend: Backend{TLS: "starttls"}}, starttls.Required},
			{"to implicit", implicit, Listener{Backend: Backend{TLS: "implicit"}}, starttls.Required},
			{"implicit to STARTTLS", upgraded, Listener{Accept: "implicit", Backend: Backend{TLS: "starttls"}}, starttls.Implicit},
			{"optional, in TLS", clear, Listener{TLS: "optional", SignIn: "anywhere"}, starttls.Required},
			{"originate", upgraded, Listener{Mode: "originate"}, starttls.None},
			{"originate implicit", implicit, Listener{Mode: "originate", Backend: Backend{TLS: "implicit"}}, starttls.None},
		} {
			if c.l.Accept == "both" && i.ServerFirst {
				continue
			}
			t.Run(i.Name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				l := c.l
				l.Protocol, l.ServerName = i.Name, testName
				l.Backend.Address = hostBackend(t, p, c.backend).addr
				if l.Backend.TLS != "" || l.Mode == "originate" {
					l.Backend.CA, l.Backend.ServerName = ca.root, testName
				}
				if l.Mode != "originate" {
					l.Certificates = ca.certificates()
				}
				_, addr := start(t, l, nil)
				cfg := ca.client()
				cfg.Mode = c.mode
				conn, err := starttls.Dial(t.Context(), addr, p, cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				h, err := conn.Probe(t.Context())
				if err != nil {
					t.Fatalf("%v\n%s", err, conn.Transcript())
				}
				if i.HelloInTLS && h.Offered {
					t.Errorf("TLS is offered inside TLS: %q", h.Caps)
				}
			})
		}
	}
}
