package interop

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/starttls/gateway"
)

// gate is a gateway of ours in front of a real server.
type gate struct {
	*gateway.Gateway
	addr string
	log  *gateLog
}

func (g *gate) port() string { return portOf(g.addr) }

// gateLog keeps what a gateway logs.
type gateLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *gateLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *gateLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// startGate runs a gateway of one listener until the test ends. In mode
// terminate its certificate is for serverName, domain and 127.0.0.1.
func startGate(t testing.TB, l gateway.Listener) *gate {
	t.Helper()
	if l.Mode == "" {
		cert, err := authority(t).CA.Issue(nil, serverName, domain, "127.0.0.1")
		check(t, err)
		s := &server{Name: "gateway", Dir: shortDir(t)}
		c, k := s.writePair(t, "gateway", cert)
		l.Certificates = []gateway.Certificate{{Cert: c, Key: k}}
	}
	l.Listen, l.ServerName = []string{"127.0.0.1:0"}, serverName
	g := &gate{log: &gateLog{}}
	var err error
	g.Gateway, err = gateway.New(gateway.Config{Drain: time.Second, Listeners: []gateway.Listener{l}}, slog.New(slog.NewJSONHandler(g.log, nil)))
	check(t, err)
	check(t, g.Start())
	name := l.Name
	if name == "" {
		name = l.Protocol
	}
	g.addr = g.Addrs(name)[0].String()
	t.Cleanup(func() {
		g.Shutdown()
		if t.Failed() {
			t.Logf("the gateway said:\n%s", g.log)
		}
	})
	return g
}
