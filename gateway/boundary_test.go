package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

const marker = "Q7INJECTED"

// Whatever is sent in clear behind the request for TLS, in the same segment, in
// a later one or cut anywhere, not a byte of it reaches the backend: there is no
// session, or it is one that began after the handshake.
func TestNothingFromBeforeTLSReachesTheBackend(t *testing.T) {
	ca := newPKI(t)
	clear := &starttls.Config{Mode: starttls.None, ServerName: testName}
	const rounds = 40 // for each of some 25 protocols: a thousand
	for _, p := range can() {
		t.Run(p.Info().Name, func(t *testing.T) {
			t.Parallel()
			b := hostBackend(t, p, clear)
			_, addr := start(t, Listener{Protocol: p.Info().Name, ServerName: testName, Certificates: ca.certificates(), Backend: Backend{Address: b.addr}}, quiet)
			for round := range rounds {
				cfg := ca.client()
				bare := false
				cfg.OnAsk = func(msg []byte) []starttls.Segment {
					bare = len(msg) == 0
					return cut(append(bytes.Clone(msg), "NOOP "+marker+"\r\n"...), len(msg), round)
				}
				conn, err := starttls.Dial(t.Context(), addr, p, cfg)
				if err == nil {
					conn.Close()
					t.Fatalf("round %d: a session began (no request: %v)", round, bare)
				}
			}
			if got := b.said(); bytes.Contains(got, []byte(marker)) || len(got) > 0 {
				t.Errorf("the backend was told %q", got)
			}
			if n := b.connections(); n > 0 && !p.Info().BoundGreeting {
				t.Errorf("%d sessions began on the backend", n)
			}
		})
	}
}

var quiet = slog.New(slog.DiscardHandler)

// cut gives msg as one segment, as two at the border, or cut at random.
func cut(msg []byte, border, round int) (out []starttls.Segment) {
	switch round {
	case 0:
		return []starttls.Segment{{Data: msg}}
	case 1:
		return []starttls.Segment{{Data: msg[:border]}, {Data: msg[border:], Delay: 10 * time.Millisecond}}
	}
	for len(msg) > 0 {
		n := 1 + rand.IntN(len(msg))
		out = append(out, starttls.Segment{Data: msg[:n], Delay: time.Duration(rand.IntN(3)) * time.Millisecond})
		msg = msg[n:]
	}
	return out
}

// What a client said before TLS is gone after it: names, half-finished sign-ins,
// settings. Its ClientHello may come with the request.
func TestClearPhaseIsForgotten(t *testing.T) {
	ca := newPKI(t)
	for name, x := range map[string]struct {
		p     starttls.Protocol
		clear []string // each line, and the beginning of the answer
		upto  string   // a line of the greeting that is its last
		want  string   // the one thing that the backend may be told
	}{
		"smtp":        {protocol.SMTP, []string{"EHLO before." + marker, "250 STARTTLS", "NOOP " + marker, "250", "MAIL FROM:<" + marker + "@x>", "530", "AUTH PLAIN " + marker, "530", "STARTTLS", "220"}, "220", ""},
		"pop3":        {protocol.POP3, []string{"USER " + marker, "-ERR", "APOP " + marker + " x", "-ERR", "STLS", "+OK"}, "+OK", ""},
		"imap":        {protocol.IMAP, []string{"a LOGIN " + marker + " x", "a NO", "b ID (\"x-originating-ip\" \"" + marker + "\")", "b OK", "c ENABLE " + marker, "c NO", "d STARTTLS", "d OK"}, "* OK", ""},
		"nntp":        {protocol.NNTP, []string{"AUTHINFO USER " + marker, "483", "GROUP " + marker, "483", "STARTTLS", "382"}, "200", ""},
		"nntp reader": {protocol.NNTP, []string{"MODE READER", "200", "STARTTLS", "382"}, "200", "MODE READER\r\n"},
		"sieve":       {protocol.Sieve, []string{"PUTSCRIPT \"" + marker + "\" {1+}\r\nx", "NO", "STARTTLS", "OK"}, "OK", ""},
		"ftp":         {protocol.FTP, []string{"USER " + marker, "530", "AUTH TLS", "234"}, "220", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := hostBackend(t, x.p, &starttls.Config{Mode: starttls.None, ServerName: testName})
			_, addr := start(t, Listener{Protocol: x.p.Info().Name, ServerName: testName, Certificates: ca.certificates(), Backend: Backend{Address: b.addr}}, quiet)
			nc, err := net.Dial("tcp", addr)
			must(t, err)
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(10 * time.Second))
			await(t, nc, x.upto)
			for ; len(x.clear) > 0; x.clear = x.clear[2:] {
				fmt.Fprintf(nc, "%s\r\n", x.clear[0])
				await(t, nc, x.clear[1])
			}
			tc := tls.Client(nc, &tls.Config{ServerName: testName, RootCAs: ca.ca.Pool()})
			must(t, tc.Handshake())
			if x.p.Info().SpeaksAfterTLS {
				await(t, tc, x.upto)
			}
			fmt.Fprint(tc, "INSIDE\r\n")
			await(t, tc, "")
			if got := string(b.said()); got != x.want+"INSIDE\r\n" {
				t.Errorf("the backend was told %q", got)
			}
		})
	}
}

// await reads lines, a byte at a time, up to one that begins with prefix.
func await(t testing.TB, r io.Reader, prefix string) string {
	t.Helper()
	var line strings.Builder
	for b := make([]byte, 1); ; {
		if _, err := r.Read(b); err != nil {
			t.Fatalf("waiting for %q: %v, after %q", prefix, err, line.String())
		}
		if line.WriteByte(b[0]); b[0] == '\n' {
			if strings.HasPrefix(line.String(), prefix) {
				return strings.TrimRight(line.String(), "\r\n")
			}
			line.Reset()
		}
	}
}

// One absolute deadline holds from the connection to the session, wherever in
// between a client stalls: Traefik's hole was a stall behind the SSLRequest.
func TestStallsEnd(t *testing.T) {
	ca := newPKI(t)
	for name, x := range map[string]struct {
		l   Listener
		say func(nc net.Conn)
	}{
		"says nothing":                 {Listener{Protocol: "smtp"}, func(net.Conn) {}},
		"says half a line":             {Listener{Protocol: "smtp"}, func(nc net.Conn) { nc.Write([]byte("EHL")) }},
		"says NOOP for ever":           {Listener{Protocol: "smtp", Limits: Limits{Commands: 1 << 20, Bytes: 1 << 30}}, drip("NOOP\r\n")},
		"nothing behind the request":   {Listener{Protocol: "smtp"}, func(nc net.Conn) { nc.Write([]byte("EHLO x\r\nSTARTTLS\r\n")) }},
		"nothing behind SSLRequest":    {Listener{Protocol: "postgresql"}, func(nc net.Conn) { nc.Write([]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f")) }},
		"half a ClientHello":           {Listener{Protocol: "imap", Accept: "implicit"}, func(nc net.Conn) { nc.Write([]byte("\x16\x03\x01\x02\x00\x01")) }},
		"no first byte":                {Listener{Protocol: "ldap", Accept: "both"}, func(net.Conn) {}},
		"half a header of PROXY":       {Listener{Protocol: "smtp", ProxyFrom: []string{"127.0.0.0/8"}}, func(nc net.Conn) { nc.Write([]byte("PROXY TC")) }},
		"no startup message, in TLS":   {Listener{Protocol: "postgresql", Accept: "implicit"}, handshakeOnly(ca, "postgresql")},
		"a backend that does not talk": {Listener{Protocol: "smtp", Accept: "implicit"}, handshakeOnly(ca, "smtp")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mute := serveBackend(t, func(nc net.Conn) { io.Copy(io.Discard, nc) })
			x.l.Certificates, x.l.Backend.Address = ca.certificates(), mute.addr
			x.l.Limits.Handshake = 300 * time.Millisecond
			_, addr := start(t, x.l, quiet)
			nc, err := net.Dial("tcp", addr)
			must(t, err)
			defer nc.Close()
			began := time.Now()
			nc.SetDeadline(began.Add(10 * time.Second))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
			defer stop()
			go x.say(nc)
			for buf := make([]byte, 4096); err == nil; {
				_, err = nc.Read(buf)
			}
			if took := time.Since(began); took < 250*time.Millisecond || took > 5*time.Second {
				t.Errorf("ended after %v: %v", took, err)
			}
		})
	}
}

func drip(line string) func(net.Conn) {
	return func(nc net.Conn) {
		for {
			if _, err := nc.Write([]byte(line)); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func handshakeOnly(ca *pki, alpn string) func(net.Conn) {
	return func(nc net.Conn) {
		tls.Client(nc, &tls.Config{ServerName: testName, RootCAs: ca.ca.Pool(), NextProtos: []string{alpn}}).Handshake()
	}
}
