package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newByHand is a session over a pipe, and the server's end of it.
func newByHand() (*byHand, net.Conn) {
	ours, server := net.Pipe()
	return &byHand{nc: ours, crlf: true, limit: 10 * time.Second, news: make(chan struct{}, 1), due: make(chan struct{}), upgraded: make(chan *tls.Conn)}, server
}

// What a script means for TLS waits for it, however slow the server is.
func TestScriptWaitsForTLS(t *testing.T) {
	for name, slow := range map[string]time.Duration{"at once": 0, "slow": 8 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, server := newByHand()
				defer server.Close()
				heard := make(chan string, 10)
				go func() { // the server reads at once and thinks slowly
					for r := bufio.NewScanner(server); r.Scan(); {
						heard <- r.Text()
					}
				}()
				go func() {
					io.WriteString(server, "220 ready\r\n")
					for _, answer := range []string{"250-one\r\n250 two\r\n", "220 go\r\n"} {
						<-heard
						time.Sleep(slow)
						io.WriteString(server, answer)
					}
				}()
				go h.typed(strings.NewReader("EHLO me\nSTARTTLS\nsecret\n"), true)
				if err := h.listen(io.Discard, regexp.MustCompile("^220 go")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if len(heard) > 0 {
					t.Errorf("in clear: %q", <-heard)
				}
				close(h.upgraded)
			})
		})
	}
}

// A script that ends before any line matched does not wait for ever.
func TestScriptEndsWithoutTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, server := newByHand()
		defer server.Close()
		go io.Copy(io.Discard, server)
		go h.typed(strings.NewReader("one\ntwo\n"), true)
		err := h.listen(io.Discard, regexp.MustCompile("never"))
		if err == nil || !strings.Contains(err.Error(), "no line matched") {
			t.Errorf("%v", err)
		}
	})
}
