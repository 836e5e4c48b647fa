package starttls_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/testca"
	"example.org/starttls/protocol"
)

const name = "server.example.test"

// configs gives the configurations of a client and a server that trust each
// other.
func configs(t testing.TB, names ...string) (client, server *starttls.Config, ca *testca.CA) {
	t.Helper()
	ca, err := testca.New("test root")
	if err != nil {
		t.Fatal(err)
	}
	server = &starttls.Config{TLS: new(tls.Config)}
	for _, n := range append(names, name)[:max(1, len(names))] {
		cert, err := ca.Issue(nil, n)
		if err != nil {
			t.Fatal(err)
		}
		server.TLS.Certificates = append(server.TLS.Certificates, cert)
	}
	return &starttls.Config{ServerName: name, TLS: &tls.Config{RootCAs: ca.Pool()}}, server, ca
}

// counting counts the connections that are accepted.
type counting struct {
	net.Listener
	n atomic.Int32
}

func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

// listen serves p until the test ends; each session is held open until the
// client closes.
func listen(t testing.TB, p starttls.Protocol, cfg *starttls.Config) *counting {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counting{Listener: tcp}
	l := starttls.NewListener(c, p, cfg)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(io.Discard, nc); nc.Close() }()
		}
	}()
	return c
}

// Rule 3: an opportunistic client's cleartext is a new connection, and it says
// so.
func TestOpportunisticFallsBackOnNewConnection(t *testing.T) {
	client, server, _ := configs(t)
	client.Mode, server.Offer.Mode = starttls.Opportunistic, starttls.Hide
	l := listen(t, protocol.SMTP, server)
	conn, err := starttls.Dial(t.Context(), l.Addr().String(), protocol.SMTP, client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Level() != starttls.LevelNone || conn.TLS() != nil || !errors.Is(conn.Fallback(), starttls.ErrNotOffered) {
		t.Errorf("level %v, fallback %v", conn.Level(), conn.Fallback())
	}
	if n := l.n.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// Rule 3: an unverified certificate keeps TLS in the opportunistic mode.
func TestOpportunisticKeepsUnverifiedTLS(t *testing.T) {
	client, server, _ := configs(t, "other.example.test")
	client.Mode = starttls.Opportunistic
	l := listen(t, protocol.SMTP, server)
	conn, err := starttls.Dial(t.Context(), l.Addr().String(), protocol.SMTP, client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Level() != starttls.LevelEncrypt || conn.Unverified() == nil || conn.Fallback() != nil || l.n.Load() != 1 {
		t.Errorf("level %v, unverified %v, fallback %v", conn.Level(), conn.Unverified(), conn.Fallback())
	}
}

// Rule 3: under Required nothing is handed over, and nothing is tried again.
func TestRequiredNeverFallsBack(t *testing.T) {
	for what, edit := range map[string]func(*starttls.Config, *starttls.Config){
		"hidden":   func(_, s *starttls.Config) { s.Offer.Mode = starttls.Hide },
		"declined": func(_, s *starttls.Config) { s.Offer.Mode = starttls.Decline },
		"stranger": func(c, _ *starttls.Config) { c.TLS = nil },
		"name":     func(c, _ *starttls.Config) { c.ServerName = "other.example.test" },
	} {
		client, server, _ := configs(t)
		edit(client, server)
		l := listen(t, protocol.IMAP, server)
		conn, err := starttls.Dial(t.Context(), l.Addr().String(), protocol.IMAP, client)
		var e *starttls.Error
		if conn != nil || !errors.As(err, &e) || l.n.Load() != 1 {
			t.Errorf("%s: %v, %d connections", what, err, l.n.Load())
		}
	}
}

func TestModesThatMakeNoSense(t *testing.T) {
	cfg := &starttls.Config{Mode: starttls.Opportunistic}
	for what, f := range map[string]func(context.Context, net.Conn, starttls.Protocol, *starttls.Config) (*starttls.Conn, error){
		"Client": starttls.Client, "Server": starttls.Server,
	} {
		a, _ := net.Pipe()
		if _, err := f(t.Context(), a, protocol.SMTP, cfg); !errors.Is(err, starttls.ErrMode) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := a.Write(nil); err == nil {
			t.Errorf("%s left the connection open", what)
		}
		if _, err := f(t.Context(), nil, protocol.SMTP, nil); err == nil {
			t.Errorf("%s takes no connection for one", what)
		}
	}
}

// The offer can be removed on the way; a blind client asks all the same.
func TestBlind(t *testing.T) {
	client, server, _ := configs(t)
	server.Offer.Keyword = "X-REMOVED"
	l := listen(t, protocol.SMTP, server)
	if _, err := starttls.Dial(t.Context(), l.Addr().String(), protocol.SMTP, client); !errors.Is(err, starttls.ErrNotOffered) {
		t.Errorf("%v", err)
	}
	client.Blind = true
	conn, err := starttls.Dial(t.Context(), l.Addr().String(), protocol.SMTP, client)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// Many domains on one listener: SNI chooses, and the first certificate is for
// an unknown or missing name.
func TestCertificateBySNI(t *testing.T) {
	client, server, _ := configs(t, "a.example.test", "b.example.test")
	l := listen(t, protocol.SMTP, server)
	for sni, want := range map[string]string{"a.example.test": "a.example.test", "b.example.test": "b.example.test", "c.example.test": "a.example.test", "": "a.example.test"} {
		cfg := *client
		cfg.ServerName = ""
		cfg.TLS = &tls.Config{InsecureSkipVerify: true, ServerName: sni}
		if sni == "" {
			cfg.TLS.ServerName = "127.0.0.1" // an address is not sent
		}
		conn, err := starttls.Dial(t.Context(), l.Addr().String(), protocol.SMTP, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.TLS().ConnectionState().PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("for %q: %s, want %s", sni, got, want)
		}
		conn.Close()
	}
}

// A ticket of one port is not offered at another, nor are sessions lost where
// they could be resumed.
func TestResumptionIsPerService(t *testing.T) {
	client, server, _ := configs(t)
	client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	here, there := listen(t, protocol.SMTP, server), listen(t, protocol.SMTP, server)
	resumed := func(l *counting) bool {
		conn, err := starttls.Dial(t.Context(), l.Addr().String(), protocol.SMTP, client)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		conn.Read(make([]byte, 1)) // the ticket comes with the first read
		return conn.TLS().ConnectionState().DidResume
	}
	if resumed(here) || !resumed(here) || resumed(there) {
		t.Error("sessions are not kept by service")
	}
}

func TestListenerIsNotHeldUp(t *testing.T) {
	client, server, _ := configs(t)
	l := listen(t, protocol.SMTP, server)
	for range 5 { // say nothing, and stay
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	conn, err := starttls.Dial(t.Context(), l.Addr().String(), protocol.SMTP, client)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestListenerClose(t *testing.T) {
	_, server, _ := configs(t)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := starttls.NewListener(tcp, protocol.SMTP, server)
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	nc, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Read(make([]byte, 1)); err != nil { // the greeting: its upgrade is under way
		t.Fatal(err)
	}
	l.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if _, err := io.ReadAll(nc); err != nil && !errors.Is(err, io.EOF) {
		t.Logf("the pending connection: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}

// Rule 6: errors tell protocol, peer, stage and the bytes.
func TestErrorsCarryEvidence(t *testing.T) {
	client, server, _ := configs(t)
	server.Offer.Mode = starttls.Decline
	l := listen(t, protocol.SMTP, server)
	_, err := starttls.Dial(t.Context(), l.Addr().String(), protocol.SMTP, client)
	var e *starttls.Error
	var refused *starttls.RefusedError
	if !errors.As(err, &e) || !errors.As(err, &refused) {
		t.Fatalf("%v", err)
	}
	if e.Protocol != "smtp" || e.Addr != l.Addr().String() || e.Stage != starttls.StageCleartext || !refused.Temporary ||
		string(refused.Reply) != "454 4.7.0 TLS not available due to temporary reason\r\n" || len(e.Transcript) == 0 || !e.Before.Offered {
		t.Errorf("%+v", e)
	}
	_, err = starttls.Dial(t.Context(), "127.0.0.1:1", protocol.SMTP, client)
	if !errors.As(err, &e) || e.Stage != starttls.StageDial {
		t.Errorf("%v", err)
	}
}

// A name from outside can not bring commands of its own along.
func TestNamesAreOneWord(t *testing.T) {
	for _, names := range [][2]string{{"a\r\nMAIL FROM:<x@example.test>", name}, {"a", name + "\r\nQUIT"}, {"a\x00", name}} {
		client, server := net.Pipe()
		said := make(chan []byte)
		go func() {
			io.WriteString(server, "220 ready\r\n")
			b, _ := io.ReadAll(server)
			said <- b
		}()
		conn, err := starttls.Client(context.Background(), client, protocol.SMTP, &starttls.Config{LocalName: names[0], ServerName: names[1], Timeouts: starttls.Timeouts{Cleartext: time.Second}})
		if b := <-said; conn != nil || err == nil || len(b) > 0 {
			t.Errorf("%q: said %q, %v", names, b, err)
		}
		server.Close()
	}
}
