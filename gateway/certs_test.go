package gateway

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// issueRSA makes a certificate of an RSA key.
func (p *pki) issueRSA(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	signer := p.ca.Self()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.ca.Certificate, key.Public(), signer.PrivateKey)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der, p.ca.Certificate.Raw}, PrivateKey: key}
}

func imapGate(t testing.TB, l Listener) (*Gateway, string) {
	l.Protocol = "imap"
	l.Backend.Address = hostBackend(t, protocol.IMAP, &starttls.Config{Mode: starttls.None}).addr
	return start(t, l, quiet)
}

// shown is the certificate that a client gets which asks for name.
func shown(t testing.TB, addr string, cfg *tls.Config) tls.ConnectionState {
	t.Helper()
	cfg.InsecureSkipVerify = true
	c, err := starttls.Dial(t.Context(), addr, protocol.IMAP, &starttls.Config{TLS: cfg, ServerName: cfg.ServerName})
	must(t, err)
	defer c.Close()
	return c.TLS().ConnectionState()
}

func TestCertificateChoice(t *testing.T) {
	ca := newPKI(t)
	dir := t.TempDir()
	for name, names := range map[string][]string{"a": {"a.example.test"}, "wild": {"*.w.example.test"}} {
		c, err := ca.ca.Issue(nil, names...)
		must(t, err)
		cert, key := ca.write(t, name, c)
		must(t, os.Rename(cert, filepath.Join(dir, name+".crt")))
		must(t, os.Rename(key, filepath.Join(dir, name+".key")))
	}
	live := filepath.Join(dir, "live.example.test") // as certbot lays them out
	must(t, os.Mkdir(live, 0o755))
	c, err := ca.ca.Issue(nil, "live.example.test")
	must(t, err)
	cert, key := ca.write(t, "live", c)
	must(t, os.Rename(cert, filepath.Join(live, "fullchain.pem")))
	must(t, os.Rename(key, filepath.Join(live, "privkey.pem")))
	rsaCert, rsaKey := ca.write(t, "rsa", ca.issueRSA(t, testName, "*.w.example.test"))
	_, addr := imapGate(t, Listener{Certificates: []Certificate{{Cert: rsaCert, Key: rsaKey}, {Cert: ca.cert, Key: ca.key}, {Directory: dir}}})
	rsaOnly := func(name string) *tls.Config {
		return &tls.Config{ServerName: name, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	}
	for _, x := range []struct {
		cfg  *tls.Config
		name string
		algo x509.PublicKeyAlgorithm
	}{
		{&tls.Config{ServerName: testName}, testName, x509.ECDSA},
		{rsaOnly(testName), testName, x509.RSA},
		{&tls.Config{ServerName: "A.example.test"}, "a.example.test", x509.ECDSA},
		{&tls.Config{ServerName: "live.example.test"}, "live.example.test", x509.ECDSA},
		{&tls.Config{ServerName: "x.w.example.test"}, "*.w.example.test", x509.ECDSA},
		{rsaOnly("x.w.example.test"), "*.w.example.test", x509.RSA},
		{&tls.Config{ServerName: "y.x.w.example.test"}, testName, x509.ECDSA}, // no wildcard for two labels: the default
		{&tls.Config{ServerName: "unknown.example.test"}, testName, x509.ECDSA},
		{&tls.Config{}, testName, x509.ECDSA},
	} {
		leaf := shown(t, addr, x.cfg).PeerCertificates[0]
		if !slices.Contains(leaf.DNSNames, x.name) || leaf.PublicKeyAlgorithm != x.algo {
			t.Errorf("%q: got %q with %v, want %q with %v", x.cfg.ServerName, leaf.DNSNames, leaf.PublicKeyAlgorithm, x.name, x.algo)
		}
	}
}

// A certificate is replaced while sessions come and go; none is lost, and a file
// that is not in order changes nothing.
func TestCertificateReplaced(t *testing.T) {
	ca := newPKI(t)
	g, addr := imapGate(t, Listener{Certificates: ca.certificates()})
	old := shown(t, addr, &tls.Config{}).PeerCertificates[0]
	kept, err := starttls.Dial(t.Context(), addr, protocol.IMAP, ca.client())
	must(t, err)
	defer kept.Close()

	good, err := os.ReadFile(ca.cert)
	must(t, err)
	must(t, os.WriteFile(ca.cert, []byte("no certificate"), 0o600))
	s := g.services[0]
	if s.certs.reload() == nil {
		t.Error("a file that is no certificate was taken")
	}
	if now := shown(t, addr, &tls.Config{}).PeerCertificates[0]; !now.Equal(old) {
		t.Error("the certificate in use is another after a failure")
	}
	must(t, os.WriteFile(ca.cert, good, 0o600))

	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 10 {
				c, err := starttls.Dial(t.Context(), addr, protocol.IMAP, ca.client())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Probe(t.Context()); err != nil {
					t.Error(err)
				}
				c.Close()
			}
		})
	}
	next, err := ca.ca.Issue(nil, testName)
	must(t, err)
	ca.write(t, "main", next)
	later := time.Now().Add(time.Minute)
	must(t, os.Chtimes(ca.cert, later, later))
	if !s.certs.changed() {
		t.Error("the change is not seen")
	}
	s.watchCerts(1, time.Hour)
	clients.Wait()
	if now := shown(t, addr, &tls.Config{}).PeerCertificates[0]; !now.Equal(next.Leaf) {
		t.Error("the new certificate is not in use")
	}
	if _, err := kept.Probe(t.Context()); err != nil {
		t.Errorf("a session was dropped: %v", err)
	}
}

// Client certificates: none asked for, any of the authority, or by name.
func TestClientCertificates(t *testing.T) {
	ca := newPKI(t)
	issue := func(name string) []tls.Certificate {
		c, err := ca.ca.Issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, name)
		must(t, err)
		return []tls.Certificate{c}
	}
	stranger := newPKI(t)
	foreign, err := stranger.ca.Issue(nil, "me.example.test")
	must(t, err)
	for _, x := range []struct {
		mode  string
		names []string
		certs []tls.Certificate
		ok    bool
	}{
		{"off", nil, nil, true}, {"optional", nil, nil, true}, {"required", nil, nil, false},
		{"required", nil, issue("me.example.test"), true}, {"required", []string{"me.example.test"}, issue("me.example.test"), true},
		{"required", []string{"me.example.test"}, issue("you.example.test"), false}, {"optional", []string{"me.example.test"}, issue("you.example.test"), false},
		{"optional", nil, []tls.Certificate{foreign}, false},
	} {
		l := Listener{Certificates: ca.certificates(), ClientCert: x.mode, ClientNames: x.names}
		if x.mode != "off" {
			l.ClientCA = ca.root
		}
		_, addr := imapGate(t, l)
		cfg := ca.client()
		cfg.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if x.certs == nil {
				return new(tls.Certificate), nil
			}
			return &x.certs[0], nil
		}
		c, err := starttls.Dial(t.Context(), addr, protocol.IMAP, cfg)
		if err == nil {
			_, err = c.Probe(t.Context())
			c.Close()
		}
		if (err == nil) != x.ok {
			t.Errorf("%s %q: %v", x.mode, x.names, err)
		}
	}
}

// A client that offers only other protocols' names is refused (ALPACA); one that
// offers none is not.
func TestALPNIsStrict(t *testing.T) {
	ca := newPKI(t)
	for _, scheme := range []string{"imap", "smtp"} {
		p, _, _ := protocol.Lookup(scheme)
		b := hostBackend(t, p, &starttls.Config{Mode: starttls.None})
		_, addr := start(t, Listener{Protocol: scheme, Accept: "implicit", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}}, quiet)
		for _, x := range []struct {
			offer []string
			ok    bool
		}{{nil, true}, {[]string{scheme}, true}, {[]string{"h2", scheme}, true}, {[]string{"http/1.1"}, false}, {[]string{"h2", "ftp"}, false}} {
			c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: testName, RootCAs: ca.ca.Pool(), NextProtos: x.offer})
			if err == nil {
				c.Close()
			}
			if (err == nil) != x.ok {
				t.Errorf("%s: %q: %v", scheme, x.offer, err)
			}
		}
	}
}

// Sessions are resumed across connections, but not at another listener.
func TestTicketsAreTheListenersOwn(t *testing.T) {
	ca := newPKI(t)
	_, one := imapGate(t, Listener{Certificates: ca.certificates()})
	_, two := imapGate(t, Listener{Certificates: ca.certificates()})
	cfg := ca.client()
	cfg.TLS.ClientSessionCache = anyScope{tls.NewLRUClientSessionCache(4)}
	resumed := func(addr string) bool {
		c, err := starttls.Dial(t.Context(), addr, protocol.IMAP, cfg)
		must(t, err)
		defer c.Close()
		_, err = c.Probe(t.Context()) // reads the tickets
		must(t, err)
		return c.TLS().ConnectionState().DidResume
	}
	if resumed(one) || !resumed(one) {
		t.Error("no resumption at the same listener")
	}
	if resumed(two) {
		t.Error("a ticket of one listener is good at another")
	}
}

// anyScope keeps one session, whatever for.
type anyScope struct{ tls.ClientSessionCache }

func (a anyScope) Get(string) (*tls.ClientSessionState, bool) { return a.ClientSessionCache.Get("x") }
func (a anyScope) Put(_ string, s *tls.ClientSessionState)    { a.ClientSessionCache.Put("x", s) }
