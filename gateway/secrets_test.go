package gateway

import (
	"bytes"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
)

// A client that signs in where it must not, in clear or behind the request for
// TLS, has no line of the log with its password.
func TestNoPasswordInTheLog(t *testing.T) {
	const secret = "hunter2secret"
	ca := newPKI(t)
	for _, p := range can() {
		t.Run(p.Info().Name, func(t *testing.T) {
			t.Parallel()
			server := &starttls.Config{ServerName: testName, TLS: &tls.Config{Certificates: []tls.Certificate{ca.pair}}}
			b := hostBackend(t, p, &starttls.Config{Mode: starttls.None, ServerName: testName})
			var log syncBuffer
			_, addr := start(t, Listener{Protocol: p.Info().Name, ServerName: testName, Certificates: ca.certificates(), Backend: Backend{Address: b.addr},
				Limits: Limits{Handshake: 2 * time.Second}}, jsonLog(&log))
			_, guard, seen := guarded(t, p, Listener{Limits: Limits{Handshake: 2 * time.Second}}, server)
			for _, addr := range []string{addr, guard} {
				cfg := ca.client()
				cfg.OnAsk = func(msg []byte) []starttls.Segment {
					return []starttls.Segment{{Data: append(bytes.Clone(msg), "PASS "+secret+"\r\n"...)}}
				}
				if c, err := starttls.Dial(t.Context(), addr, p, cfg); err == nil {
					c.Close()
				}
				for _, line := range []string{"PASS " + secret, secret, "a LOGIN bob " + secret, "GET /?password=" + secret + " HTTP/1.1"} {
					nc, err := net.Dial("tcp", addr)
					must(t, err)
					nc.Write([]byte(line + "\r\n"))
					nc.(*net.TCPConn).CloseWrite()
					nc.SetDeadline(time.Now().Add(5 * time.Second))
					for buf := make([]byte, 4096); err == nil; {
						_, err = nc.Read(buf)
					}
					nc.Close()
				}
			}
			for _, log := range []*syncBuffer{&log, seen} {
				waitFor(t, func() bool { return strings.Count(log.String(), `"outcome"`) >= 4 })
				if strings.Contains(log.String(), secret) {
					t.Errorf("the log is %s", log.String())
				}
			}
		})
	}
}
