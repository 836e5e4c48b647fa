package badserver

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/starttls/internal/testca"
	"example.org/starttls/internal/tlsprobe/tlswire"
)

const name = "mail.example.test"

var theCA = sync.OnceValues(func() (*testca.CA, error) { return testca.New("badserver test root") })

var certificate = sync.OnceValues(func() (tls.Certificate, error) {
	ca, err := theCA()
	if err != nil {
		return tls.Certificate{}, err
	}
	return Certificate(ca.Self(), name)
})

func server(t testing.TB, set func(*Config)) *Server {
	t.Helper()
	cert, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Certificate: cert}
	if set != nil {
		set(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// connect has crypto/tls shake hands with s, and says goodbye.
func connect(t testing.TB, s *Server, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		nc, err := l.Accept()
		if err == nil {
			nc.SetDeadline(time.Now().Add(10 * time.Second))
			err = s.Serve(nc)
		}
		served <- err
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	tc := tls.Client(nc, cfg)
	err = tc.Handshake()
	if err == nil {
		tc.Write([]byte("is anybody at home?")) // and so the ticket is read
	}
	tc.Close()
	nc.Close()
	if e := <-served; (e == nil) != (err == nil) {
		t.Errorf("the client says %v, the server %v", err, e)
	}
	return tc.ConnectionState(), err
}

// With a strict client, the handshakes that can be finished are right: every
// suite that both have, in every version, and resumed.
func TestHandshakes(t *testing.T) {
	ca, err := theCA()
	if err != nil {
		t.Fatal(err)
	}
	var all []uint16
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if tlswire.SuiteByID(suite.ID).CanFinish() && !strings.Contains(suite.Name, "ECDSA") {
			all = append(all, suite.ID)
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d suites", len(all))
	}
	s := server(t, func(c *Config) {
		c.Suites, c.Versions, c.ALPN = all, []uint16{tlswire.TLS10, tlswire.TLS11, tlswire.TLS12}, []string{"imap"}
	})
	for v := tlswire.TLS10; v <= tlswire.TLS12; v++ {
		for _, suite := range all {
			if !tlswire.SuiteByID(suite).In(v) {
				continue
			}
			cfg := &tls.Config{RootCAs: ca.Pool(), ServerName: name, MinVersion: v, MaxVersion: v, CipherSuites: []uint16{suite},
				NextProtos: []string{"imap"}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			for _, resumed := range []bool{false, true} {
				state, err := connect(t, s, cfg)
				if err != nil || state.CipherSuite != suite || state.Version != v || state.DidResume != resumed || state.NegotiatedProtocol != "imap" {
					t.Errorf("%s in %s, resumed %v: %v, %+v", tls.CipherSuiteName(suite), tls.VersionName(v), resumed, err, state)
				}
			}
		}
	}
}

// What the server refuses, it refuses with the right alert.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*Config)
		cfg  *tls.Config
		want uint8
	}{
		{"version", nil, &tls.Config{MinVersion: tls.VersionTLS13}, tlswire.ProtocolVersion},
		{"older version", nil, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, tlswire.ProtocolVersion},
		{"suite", nil, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_256_CBC_SHA}}, tlswire.HandshakeFailure},
		{"group", func(c *Config) { c.Suites = []uint16{0xc02f} }, &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521}}, tlswire.HandshakeFailure},
		{"protocol", func(c *Config) { c.ALPN = []string{"imap"} }, &tls.Config{NextProtos: []string{"http/1.1"}}, tlswire.NoApplicationProtocol},
		{"name", func(c *Config) { c.NeedsName = true }, &tls.Config{ServerName: "other.example.test"}, tlswire.UnrecognizedName},
	} {
		c.cfg.InsecureSkipVerify = true
		_, err := connect(t, server(t, c.set), c.cfg)
		if want := tls.AlertError(c.want).Error(); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", c.name, err, want)
		}
	}
}

func TestNewWantsRSA(t *testing.T) {
	ca, err := theCA()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Certificate: ca.Self()}); err == nil {
		t.Error("a key of ECDSA was taken")
	}
}

// once reads the first record with one read, and all else as it comes.
func TestOnce(t *testing.T) {
	record := []byte{22, 3, 1, 0, 2, 'a', 'b'}
	for _, segments := range [][][]byte{{record, []byte("more")}, {record[:6], record[6:], []byte("more")}} {
		client, server := net.Pipe()
		go func() {
			for _, s := range segments {
				client.Write(s)
			}
			client.Close()
		}()
		got, err := io.ReadAll(&once{Conn: server})
		want := bytes.Join(segments[:1], nil)
		if len(segments) == 2 {
			want = bytes.Join(segments, nil)
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
		server.Close()
	}
}

// said is a connection of a client that said b and left.
type said struct {
	net.Conn
	io.Reader
}

func (s said) Read(b []byte) (int, error)  { return s.Reader.Read(b) }
func (s said) Write(b []byte) (int, error) { return len(b), nil }
func (s said) Close() error                { return nil }

// Whatever a client says, serving it comes to an end.
func FuzzServe(f *testing.F) {
	everything := server(f, func(c *Config) {
		for _, flaw := range Flaws {
			flaw.Set(c)
		}
		c.ReadsOnce, c.NeedsName = false, false
		c.Versions = []uint16{tlswire.SSL3, tlswire.TLS11, tlswire.TLS12}
		c.Suites = slices.Concat(goodSuites, []uint16{0x0003, 0x0034})
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := everything.Serve(said{Reader: bytes.NewReader(b)}); err == nil && !bytes.Contains(b, []byte{1, 0}) {
			t.Error("a goodbye was heard that nobody said")
		}
	})
}
