package gateway

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// guarded runs a guard of p in front of a server of ours, and gives the address
// of the guard and what it logs.
func guarded(t testing.TB, p starttls.Protocol, l Listener, server *starttls.Config) (b *backend, addr string, log *syncBuffer) {
	t.Helper()
	b = serveBackend(t, func(nc net.Conn) {
		c, err := starttls.Server(t.Context(), nc, p, server)
		if err != nil {
			return
		}
		w := c.Wire(t.Context())
		defer w.Release()
		p.(starttls.Host).Serve(w, server.Hello, nil)
		c.CloseWrite()
	})
	l.Mode, l.Protocol, l.Backend.Address = "guard", p.Info().Name, b.addr
	if l.Limits.Handshake == 0 {
		l.Limits.Handshake = 5 * time.Second
	}
	log = &syncBuffer{}
	_, addr = start(t, l, jsonLog(log))
	return b, addr, log
}

func jsonLog(log *syncBuffer) *slog.Logger { return slog.New(slog.NewJSONHandler(log, nil)) }

// tells waits for a line of the log that says s.
func tells(t testing.TB, log *syncBuffer, s string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("wanted %s in the log, which is %s", s, log.String())
		}
	}()
	waitFor(t, func() bool { return strings.Contains(log.String(), s) })
}

// In every protocol client and server come to TLS with each other: it is the
// server's certificate that the client sees.
func TestGuardEveryProtocol(t *testing.T) {
	ca := newPKI(t)
	for _, p := range protocol.All() {
		t.Run(p.Info().Name, func(t *testing.T) {
			t.Parallel()
			server := &starttls.Config{ServerName: testName, TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}}
			_, addr, log := guarded(t, p, Listener{}, server)
			c, err := starttls.Dial(t.Context(), addr, p, ca.client())
			if err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			if _, err := c.Probe(t.Context()); err != nil {
				t.Error(err)
			}
			c.Close()
			tells(t, log, `"sni":"`+testName+`"`)
			tells(t, log, `"offered_tls":"TLS 1.`)
		})
	}
}

// What is injected behind the request or behind the go-ahead ends the session,
// in every protocol, and so does what is no ClientHello.
func TestGuardInjection(t *testing.T) {
	ca := newPKI(t)
	injected := []byte("NOOP\r\n")
	behind := func(msg []byte) []starttls.Segment {
		return []starttls.Segment{{Data: append(append([]byte{}, msg...), injected...)}}
	}
	later := func(msg []byte) []starttls.Segment {
		return []starttls.Segment{{Data: msg}, {Data: injected, Delay: 50 * time.Millisecond}}
	}
	for _, p := range protocol.All() {
		for name, x := range map[string]struct {
			ask, goAhead func([]byte) []starttls.Segment
			want         string
		}{
			"behind the request":  {behind, nil, "injected"},
			"behind the go-ahead": {nil, behind, "injected"},
			"no ClientHello":      {later, nil, "cleartext"},
		} {
			want := x.want
			if p == protocol.NATS && x.ask != nil { // TLS itself is the request
				want = "refused-clear"
			}
			t.Run(p.Info().Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				server := &starttls.Config{ServerName: testName, OnGoAhead: x.goAhead, TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}}
				b, addr, log := guarded(t, p, Listener{}, server)
				cfg := ca.client()
				cfg.OnAsk = x.ask
				if c, err := starttls.Dial(t.Context(), addr, p, cfg); err == nil {
					c.Close()
					t.Fatal("TLS all the same")
				}
				if i := p.Info(); x.goAhead != nil && (i.EagerClient || p == protocol.NATS) {
					tells(t, log, `NOOP`) // there is no consent: it comes before the ClientHello has passed, or behind it
				} else if want == "cleartext" {
					waitFor(t, func() bool {
						s := log.String()
						return strings.Contains(s, `"outcome":"cleartext"`) || strings.Contains(s, `"outcome":"injected"`) // the guard was slower than the delay
					})
				} else {
					tells(t, log, `"outcome":"`+want+`"`)
				}
				if x.ask != nil && strings.Contains(string(b.said()), "NOOP") {
					t.Error("what was injected has reached the server")
				}
			})
		}
	}
}

// What the server says before the client's TLS can be no answer to it, though it
// looks like TLS. The client does not hear it, nor the server the client.
func TestGuardServerFirst(t *testing.T) {
	early := make(chan struct{})
	b := serveBackend(t, func(nc net.Conn) {
		io.WriteString(nc, "220 x\r\n")
		await(t, nc, "EHLO")
		io.WriteString(nc, "250-x\r\n250 STARTTLS\r\n")
		await(t, nc, "STARTTLS")
		io.WriteString(nc, "220 go\r\n")
		<-early
		nc.Write([]byte{recordHandshake, 3, 3, 0, 4, 14, 0, 0, 0})
		early <- struct{}{}
		io.Copy(io.Discard, nc)
	})
	log := &syncBuffer{}
	_, addr := start(t, Listener{Mode: "guard", Protocol: "smtp", Backend: Backend{Address: b.addr}}, jsonLog(log))
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	await(t, nc, "220 x")
	fmt.Fprint(nc, "EHLO client.example.test\r\n")
	await(t, nc, "250 ")
	fmt.Fprint(nc, "STARTTLS\r\n")
	await(t, nc, "220 go")
	early <- struct{}{}
	<-early
	if err := tls.Client(nc, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Error("TLS all the same")
	}
	tells(t, log, `"outcome":"injected"`)
	if strings.Contains(string(b.said()), "\x16\x03") {
		t.Error("the ClientHello has reached the server")
	}
}

// Credentials in clear do not reach the server, however they are cut into
// segments, and the client is told in the protocol's own words.
func TestGuardCredentials(t *testing.T) {
	const secret = "hunter2"
	sasl := base64.StdEncoding.EncodeToString([]byte("\x00u\x00" + secret))
	stream := "<?xml version='1.0'?><stream:stream to='" + testName + "' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
	startup := binary.BigEndian.AppendUint32(nil, 4+4+5+8+1)
	startup = append(binary.BigEndian.AppendUint32(startup, 3<<16), "user\x00"+secret+"\x00\x00"...)
	login := "\x05\xa2\x08\x00\xff\xff\xff\x00\x2d" + strings.Repeat("\x00", 23) + "u\x00\x07" + secret + "mysql_native_password\x00"
	login = string([]byte{byte(len(login)), 0, 0, 1}) + login
	for _, x := range []struct {
		p    starttls.Protocol
		says []string
		hears,
		passes string
	}{
		{protocol.SMTP, []string{"EHLO c\r\n", "AUTH PLAIN " + sasl + "\r\n"}, "530 ", "EHLO c\r\n"},
		{protocol.SMTP, []string{"EHLO c\r\nMAIL FROM:<" + secret + "@example.test>\r\n"}, "530 ", ""}, // what came with it does not pass either
		{protocol.SMTP, []string{"EHLO c\r\n", sasl + "\r\n"}, "500 ", "EHLO c\r\n"},
		{protocol.Submission, []string{"EHLO c\r\n", "AUTH PLAIN " + sasl + "\r\n"}, "530 ", "EHLO c\r\n"},
		{protocol.LMTP, []string{"LHLO c\r\n", "AUTH PLAIN " + sasl + "\r\n"}, "530 ", "LHLO c\r\n"},
		{protocol.IMAP, []string{"1 CAPABILITY\r\n", "2 LOGIN u " + secret + "\r\n"}, "2 NO [PRIVACYREQUIRED]", "1 CAPABILITY\r\n"},
		{protocol.POP3, []string{"CAPA\r\n", "USER " + secret + "\r\n"}, "-ERR ", "CAPA\r\n"},
		{protocol.Sieve, []string{"AUTHENTICATE \"PLAIN\" \"" + sasl + "\"\r\n"}, "NO (ENCRYPT-NEEDED)", ""},
		{protocol.NNTP, []string{"AUTHINFO USER " + secret + "\r\n"}, "483 ", ""},
		{protocol.FTP, []string{"USER " + secret + "\r\n"}, "", ""},
		{protocol.LDAP, []string{"\x30\x13\x02\x01\x05\x60\x0e\x02\x01\x03\x04\x00\x80\x07" + secret}, "\x30", ""},
		{protocol.XMPPClient, []string{stream, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + sasl + "</auth>"}, "<stream:error>", stream},
		{protocol.IRC, []string{"CAP LS 302\r\n", "PASS " + secret + "\r\n"}, ":", "CAP LS 302\r\n"},
		{protocol.PostgreSQL, []string{string(startup)}, "E", ""},
		{protocol.MySQL, []string{login}, "", ""},
	} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %.20q cut %v", x.p.Info().Name, x.says[len(x.says)-1], cut), func(t *testing.T) {
				t.Parallel()
				ca := newPKI(t)
				server := &starttls.Config{ServerName: testName, Offer: starttls.Offer{Mode: starttls.Optional}, TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}}
				b, addr, log := guarded(t, x.p, Listener{}, server)
				nc, err := net.Dial("tcp", addr)
				must(t, err)
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(10 * time.Second))
				var heard bytes.Buffer
				read := make(chan struct{})
				go func() { defer close(read); io.Copy(&heard, nc) }()
				for i, say := range x.says {
					if i > 0 { // the answer to what was said before
						waitFor(t, func() bool { return string(b.said()) == strings.Join(x.says[:i], "") })
					}
					for cut && len(say) > 1 {
						nc.Write([]byte(say[:1]))
						say = say[1:]
					}
					nc.Write([]byte(say))
				}
				tells(t, log, `"outcome":"refused-clear"`)
				<-read
				words := heard.String()
				if at := strings.LastIndex(words, x.hears); at < 0 {
					t.Errorf("the client heard %q, without %q", words, x.hears)
				}
				if got := string(b.said()); got != x.passes && !(cut && got == "EHLO c\r\n") {
					t.Errorf("the server got %q", got)
				}
				if strings.Contains(log.String(), secret) || strings.Contains(log.String(), sasl) {
					t.Error("the log has the secret")
				}
			})
		}
	}
}

// Clients leave in good order, or in the middle of a line.
func TestGuardLeave(t *testing.T) {
	for said, wants := range map[string]string{"EHLO c\r\nQUIT\r\n": "221 ", "EHLO c\r\nNO": "220 "} {
		_, addr, log := guarded(t, protocol.SMTP, Listener{}, &starttls.Config{Mode: starttls.None, ServerName: testName})
		nc, err := net.Dial("tcp", addr)
		must(t, err)
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		nc.Write([]byte(said))
		await(t, nc, wants)
		nc.(*net.TCPConn).CloseWrite()
		tells(t, log, `"outcome":"left"`)
		nc.Close()
	}
}

// A client that stalls on the way is closed at the one time limit.
func TestGuardStalls(t *testing.T) {
	ca := newPKI(t)
	server := &starttls.Config{ServerName: testName, TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}}
	for _, said := range [][]string{{}, {"EHL"}, {"EHLO c\r\n"}, {"EHLO c\r\n", "STARTTLS\r\n"}, {"EHLO c\r\n", "STARTTLS\r\n", "\x16\x03\x01"}} {
		t.Run(strings.Join(said, ""), func(t *testing.T) {
			t.Parallel()
			_, addr, log := guarded(t, protocol.SMTP, Listener{Limits: Limits{Handshake: 300 * time.Millisecond}}, server)
			nc, err := net.Dial("tcp", addr)
			must(t, err)
			defer nc.Close()
			for i, say := range said {
				nc.Write([]byte(say))
				if i < len(said)-1 {
					await(t, nc, []string{"250 STARTTLS", "220 2.0.0"}[i])
				}
			}
			tells(t, log, `"outcome":"timeout"`)
		})
	}
}
