package gateway

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// With clear = "log" they pass, exactly, and the log says so.
func TestGuardLogsClear(t *testing.T) {
	b, addr, log := guarded(t, protocol.SMTP, Listener{Clear: "log"}, &starttls.Config{Mode: starttls.None, ServerName: testName})
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	defer nc.Close()
	said := "EHLO c\r\nMAIL FROM:<a@example.test>\r\nQUIT\r\n"
	_, err = nc.Write([]byte(said))
	must(t, err)
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	got, err := io.ReadAll(nc)
	if !strings.Contains(string(got), "221 ") {
		t.Errorf("%q, %v", got, err)
	}
	nc.Close()
	if string(b.said()) != said {
		t.Errorf("the server got %q", b.said())
	}
	tells(t, log, `"outcome":"clear"`)
	tells(t, log, `"level":"WARN"`)
}

// A server that offered TLS and does not any more is told of, and one that does
// again; the first is no news.
func TestGuardOfferChanges(t *testing.T) {
	ca := newPKI(t)
	var stripped atomic.Bool
	granting := &starttls.Config{ServerName: testName, TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}}
	for _, p := range []starttls.Protocol{protocol.SMTP, protocol.IMAP, protocol.XMPPClient, protocol.MySQL, protocol.PostgreSQL, protocol.LDAP} {
		t.Run(p.Info().Name, func(t *testing.T) {
			stripped.Store(false)
			b := serveBackend(t, func(nc net.Conn) {
				cfg := *granting
				if stripped.Load() {
					cfg.Offer.Mode = starttls.Decline
					if !p.Info().Unadvertised {
						cfg.Offer.Mode = starttls.Hide
					}
				}
				if c, err := starttls.Server(t.Context(), nc, p, &cfg); err == nil {
					w := c.Wire(t.Context())
					defer w.Release()
					p.(starttls.Host).Serve(w, cfg.Hello, nil)
				}
			})
			log := &syncBuffer{}
			g, addr := start(t, Listener{Mode: "guard", Protocol: p.Info().Name, Backend: Backend{Address: b.addr}}, jsonLog(log))
			ends := 0
			visit := func(wantTLS bool) {
				c, err := starttls.Dial(t.Context(), addr, p, ca.client())
				if (err == nil) != wantTLS {
					t.Fatal(err)
				}
				if err == nil {
					c.Close()
				}
				ends++
				waitFor(t, func() bool { return strings.Count(log.String(), `"outcome":`) == ends })
			}
			visit(true)
			visit(true)
			if strings.Contains(log.String(), "any more") || strings.Contains(log.String(), "did not before") {
				t.Error("told of a change that was none")
			}
			stripped.Store(true)
			visit(false)
			visit(false)
			stripped.Store(false)
			visit(true)
			if s := log.String(); strings.Count(s, "does not offer TLS any more") != 1 || strings.Count(s, "which it did not before") != 1 {
				t.Error(s)
			}
			r := httptest.NewRecorder()
			g.statusPages().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
			for _, want := range []string{
				`backend_offer_changes_total{listener="` + p.Info().Name + `",offers="no"} 1`, `backend_offers_tls{listener="` + p.Info().Name + `"} 1`,
				`client_hellos_total{listener="` + p.Info().Name + `",sni="yes",version="TLS 1.3"} 3`,
			} {
				if !strings.Contains(r.Body.String(), want) {
					t.Errorf("no %s", want)
				}
			}
		})
	}
}

// Clients whose requests are not those of our own client's half.
func TestGuardOtherClients(t *testing.T) {
	ca := newPKI(t)
	for name, x := range map[string]struct {
		p    starttls.Protocol
		says []string
		last string // what the answer to the request holds
	}{
		"IMAP, another tag":      {protocol.IMAP, []string{"1 NOOP\r\n", "A002 CAPABILITY\r\n", "tag.3 starttls\r\n"}, "tag.3 OK"},
		"IMAP, a tag of a digit": {protocol.IMAP, []string{"1 STARTTLS\r\n"}, "1 OK"},
		"LDAP, another number":   {protocol.LDAP, []string{"\x30\x1d\x02\x01\x07\x77\x18\x80\x161.3.6.1.4.1.1466.20037"}, "\x02\x01\x07"},
		"LDAP, a high number":    {protocol.LDAP, []string{"\x30\x1e\x02\x02\x01\x07\x77\x18\x80\x161.3.6.1.4.1.1466.20037"}, "\x02\x02\x01\x07"},
		"SMTP, twice":            {protocol.SMTP, []string{"EHLO a\r\n", "EHLO b\r\n", "NOOP\r\n", "starttls\r\n"}, "220 2.0.0"},
		"PostgreSQL, GSS first":  {protocol.PostgreSQL, []string{"\x00\x00\x00\x08\x04\xd2\x16\x30", "\x00\x00\x00\x08\x04\xd2\x16\x2f"}, "S"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, addr, log := guarded(t, x.p, Listener{}, &starttls.Config{ServerName: testName, TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}})
			nc, err := net.Dial("tcp", addr)
			must(t, err)
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(10 * time.Second))
			buf := make([]byte, 4096)
			var answer string
			if x.p.Info().ServerFirst {
				nc.Read(buf)
			}
			for _, say := range x.says {
				nc.Write([]byte(say))
				n, err := nc.Read(buf)
				if err != nil {
					t.Fatal(err, log.String())
				}
				answer = string(buf[:n])
			}
			if !strings.Contains(answer, x.last) {
				t.Fatalf("%q", answer)
			}
			tc := tls.Client(nc, &tls.Config{RootCAs: ca.client().TLS.RootCAs, ServerName: testName})
			if err := tc.Handshake(); err != nil {
				t.Fatal(err, log.String())
			}
		})
	}
}

// The tag of one request is put in the place of the other's, and nothing else.
func TestRetag(t *testing.T) {
	for _, x := range []struct {
		name               string
		theirs, ours       string // what our half would say to the two requests
		lines              bool
		answer, understood string
	}{
		{"the same request", "220 go\r\n", "220 go\r\n", true, "220 ready\r\n", "220 ready\r\n"},
		{"nothing is said", "", "", false, "\x16\x03\x01", "\x16\x03\x01"},
		{"IMAP", "A7 OK begin\r\n", "a OK begin\r\n", true, "A7 OK go\r\n", "a OK go\r\n"},
		{"IMAP, behind another line", "A7 OK begin\r\n", "a OK begin\r\n", true, "* OK A7\r\nA7 OK go\r\n", "* OK A7\r\na OK go\r\n"},
		{"IMAP, another's tag", "A7 OK begin\r\n", "a OK begin\r\n", true, "B7 OK go\r\n", "B7 OK go\r\n"},
		{"LDAP", "\x30\x0c\x02\x01\x07\x78\x07", "\x30\x0c\x02\x01\x01\x78\x07", false, "\x30\x0c\x02\x01\x07\x78\x07", "\x30\x0c\x02\x01\x01\x78\x07"},
		{"LDAP, long form", "\x30\x0c\x02\x01\x07\x78\x07", "\x30\x0c\x02\x01\x01\x78\x07", false, "\x30\x84\x00\x00\x00\x10\x02\x01\x07\x78\x84\x00", "\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00"},
		{"LDAP, a high number", "\x30\x0d\x02\x02\x01\x07\x78\x07", "\x30\x0c\x02\x01\x01\x78\x07", false, "\x30\x0d\x02\x02\x01\x07\x78\x07", "\x30\x0c\x02\x01\x01\x78\x07"},
		{"LDAP, another's number", "\x30\x0c\x02\x01\x07\x78\x07", "\x30\x0c\x02\x01\x01\x78\x07", false, "\x30\x0c\x02\x01\x05\x78\x07", "\x30\x0c\x02\x01\x05\x78\x07"},
		{"LDAP, the number deep inside", "\x30\x0c\x02\x01\x07\x78\x07", "\x30\x0c\x02\x01\x01\x78\x07", false, "\x30\x20\x02\x01\x05\x78\x1b0123456789\x02\x01\x07", "\x30\x20\x02\x01\x05\x78\x1b0123456789\x02\x01\x07"},
	} {
		if got := string(retag([]byte(x.theirs), []byte(x.ours), x.lines)([]byte(x.answer))); got != x.understood {
			t.Errorf("%s: %q", x.name, got)
		}
	}
}
