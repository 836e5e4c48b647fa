package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"

	"github.com/pires/go-proxyproto"
)

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
