package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testdns"
	"example.org/starttls/protocol"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// pebble is Let's Encrypt's authority for tests.
type pebble struct {
	directory string
	orders    atomic.Int32
	roots     *x509.CertPool
}

// startPebble runs one that looks for answers to its challenges at these ports
// of this machine, whatever the name.
func startPebble(t *testing.T, own *pki, httpPort, tlsPort int) *pebble {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")      // a challenge for each order
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0") // requests are counted
	names, err := testdns.New(testdns.Zone{Origin: "example.test.", Text: "mx A 127.0.0.1\nimap A 127.0.0.1"})
	must(t, err)
	t.Cleanup(names.Close)
	p := &pebble{roots: x509.NewCertPool()}
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	p.roots.AddCert(issuer.GetRootCert(0).Cert)
	front := wfe.New(quiet, store, va.New(quiet, httpPort, tlsPort, true, names.Addr, store), issuer, []string{"ca.example.test"}, true, false, 0, 0)
	handler := front.Handler()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/order-plz") {
			p.orders.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{own.pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	p.directory = s.URL + wfe.DirectoryPath
	return p
}

func portOf(t *testing.T, addr string) int {
	_, text, err := net.SplitHostPort(addr)
	must(t, err)
	port, err := strconv.Atoi(text)
	must(t, err)
	return port
}

// acmeGate runs a gateway whose certificate comes from p, and waits for it.
func acmeGate(t *testing.T, c ACME, log io.Writer) (*Gateway, string) {
	t.Helper()
	l := Listener{Listen: []string{"127.0.0.1:0"}, Protocol: "smtp", Backend: Backend{Address: hostBackend(t, protocol.SMTP, &starttls.Config{Mode: starttls.None}).addr}}
	g, err := New(Config{Drain: time.Millisecond, ACME: c, Listeners: []Listener{l}}, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	must(t, err)
	must(t, g.Start())
	t.Cleanup(func() { g.Shutdown() })
	defer func() {
		if t.Failed() {
			t.Log(log)
		}
	}()
	waitFor(t, func() bool { return len(g.services[0].certs.now.Load().all) == len(c.Names) })
	return g, g.Addrs("smtp")[0].String()
}

// session is the certificate that a client meets who trusts p.
func (p *pebble) session(t *testing.T, addr, name string) *x509.Certificate {
	t.Helper()
	c, err := starttls.Dial(t.Context(), addr, protocol.SMTP, &starttls.Config{ServerName: name, LocalName: "client.example.test", TLS: &tls.Config{RootCAs: p.roots}})
	must(t, err)
	defer c.Close()
	_, err = c.Probe(t.Context())
	must(t, err)
	return c.TLS().ConnectionState().PeerCertificates[0]
}

// A certificate is issued, serves, is renewed with the same key (or another,
// where that is wanted), and outlives the gateway.
func TestACME(t *testing.T) {
	for name, newKeys := range map[string]bool{"http-01": false, "tls-alpn-01": false, "tls-alpn-01, new keys": true} {
		t.Run(name, func(t *testing.T) {
			own := newPKI(t)
			at := closedAddr(t)
			c := ACME{Names: []string{"mx.example.test", "imap.example.test"}, CA: own.root, Email: "postmaster@example.test", Agree: true,
				Storage: filepath.Join(t.TempDir(), "acme"), NewKeys: newKeys}
			if name == "http-01" {
				c.HTTP = at
			} else {
				c.TLSALPN = at
			}
			p := startPebble(t, own, portOf(t, at), portOf(t, at))
			c.Directory = p.directory
			var log syncBuffer
			g, addr := acmeGate(t, c, &log)
			for _, n := range c.Names {
				p.session(t, addr, n)
			}
			first := p.session(t, addr, c.Names[0])
			r := httptest.NewRecorder()
			g.statusPages().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
			if text := r.Body.String(); !strings.Contains(text, `certificate_not_after_seconds{listener="smtp",name="mx.example.test"}`) {
				t.Errorf("the end of the certificate is not among the metrics:\n%s", text)
			}

			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			must(t, g.issuer.certs.RenewCertAsync(ctx, c.Names[0], true))
			second := p.session(t, addr, c.Names[0])
			if second.Equal(first) {
				t.Error("the renewed certificate is not in use")
			}
			if same := second.PublicKey.(*ecdsa.PublicKey).Equal(first.PublicKey); same == newKeys {
				t.Errorf("the key is the same: %t, with new_keys = %t", same, newKeys)
			}
			g.Shutdown()

			before := p.orders.Load()
			if before != 3 {
				t.Errorf("%d orders for two certificates and a renewal", before)
			}
			next, addr := acmeGate(t, c, &log)
			if third := p.session(t, addr, c.Names[0]); !third.Equal(second) {
				t.Error("behind a restart the certificate is another")
			}
			next.Shutdown()
			if after := p.orders.Load(); after != before {
				t.Errorf("a restart made %d orders", after-before)
			}
			if said := log.String(); !strings.Contains(said, "certificate issued") || strings.Contains(said, "PRIVATE KEY") || strings.Contains(said, `"level":"ERROR"`) {
				t.Errorf("the log:\n%s", said)
			}
		})
	}
}

// Until a certificate is there handshakes fail, and files serve beside it. An
// authority that can not be reached is an error in the log.
func TestACMEBeforeTheFirst(t *testing.T) {
	own := newPKI(t)
	c := ACME{Names: []string{"mx.example.test"}, Directory: "https://" + closedAddr(t) + "/dir", Agree: true, HTTP: closedAddr(t), Storage: t.TempDir()}
	var log syncBuffer
	l := Listener{Listen: []string{"127.0.0.1:0"}, Protocol: "imap", Backend: Backend{Address: closedAddr(t)}}
	g, err := New(Config{ACME: c, Listeners: []Listener{l}}, slog.New(slog.NewJSONHandler(&log, nil)))
	must(t, err)
	must(t, g.Start())
	t.Cleanup(func() { g.Shutdown() })
	_, err = starttls.Dial(t.Context(), g.Addrs("imap")[0].String(), protocol.IMAP, own.client())
	if err == nil {
		t.Error("a handshake without a certificate")
	}
	waitFor(t, func() bool { return strings.Contains(log.String(), "could not get certificate") })
	must(t, g.Reload(Config{ACME: c, Certificates: own.certificates(), Listeners: []Listener{l}}))
	if got := shown(t, g.Addrs("imap")[0].String(), own.client().TLS).PeerCertificates[0]; !got.Equal(own.pair.Leaf) {
		t.Errorf("got %q", got.DNSNames)
	}
}

func TestBadACME(t *testing.T) {
	own := newPKI(t)
	for want, edit := range map[string]func(c *ACME){
		"":                       func(*ACME) {},
		"names is missing":       func(c *ACME) { c.Names = nil },
		"needs DNS-01":           func(c *ACME) { c.Names = []string{"*.example.test"} },
		"is no host's name":      func(c *ACME) { c.Names = []string{"Mx.example.test"} },
		`"a/b" is no host's`:     func(c *ACME) { c.Names = []string{"a/b"} },
		"is an https URL":        func(c *ACME) { c.Directory = "http://ca.example.test/dir" },
		"say agree = true":       func(c *ACME) { c.Agree = false },
		"no such file":           func(c *ACME) { c.CA = filepath.Join(own.dir, "none") },
		"no certificate in it":   func(c *ACME) { c.CA = own.key },
		"where are challenges":   func(c *ACME) { c.HTTP = "" },
		"is no address":          func(c *ACME) { c.TLSALPN = "443" },
		"two ports of one host":  func(c *ACME) { c.TLSALPN = "127.0.0.1:443" },
		"two ports of one host ": func(c *ACME) { c.TLSALPN = c.HTTP },
	} {
		c := ACME{Names: []string{"mx.example.test"}, Agree: true, HTTP: ":80", Storage: own.dir}
		edit(&c)
		err := Check(Config{ACME: c, Listeners: []Listener{{Listen: []string{"127.0.0.1:0"}, Protocol: "imap", Backend: Backend{Address: "127.0.0.1:1"}}}})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want))) {
			t.Errorf("wanted %q, got %v", want, err)
		}
	}
	if left, err := os.ReadDir(own.dir); err != nil || len(left) != 3 {
		t.Errorf("checking has written: %v, %v", left, err)
	}
}
