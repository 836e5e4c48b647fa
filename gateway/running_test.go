package gateway

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

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
	idle, err := net.Dial("tcp", addr)
	must(t, err)
	waitFor(t, func() bool {
		return strings.Contains(get("/metrics"), `starttls_gateway_before_session{listener="imap"} 1`)
	})
	idle.Close()
	waitFor(t, func() bool {
		return strings.Contains(get("/metrics"), `starttls_gateway_before_session{listener="imap"} 0`)
	})
	cfg.Pprof = false
	must(t, g.Reload(cfg))
	if strings.Contains(get("/debug/pprof/"), "goroutine") {
		t.Error("pprof goes on after a configuration without it")
	}
}
