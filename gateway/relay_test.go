package gateway

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// bytesEnv makes TestBytesAreExact pass so many bytes each way, instead of 16 MiB.
const bytesEnv = "STARTTLS_TEST_BYTES"

// echo sends everything back, and ends when the client has nothing more to say.
func echo(greeting string) func(net.Conn) {
	return func(nc net.Conn) {
		io.WriteString(nc, greeting)
		io.Copy(nc, nc)
		nc.(*recorded).Conn.(*net.TCPConn).CloseWrite()
	}
}

// What passes is exact, both ways at once, through every kind of end, and half
// closes are passed on.
func TestBytesAreExact(t *testing.T) {
	ca := newPKI(t)
	plain := serveBackend(t, echo(""))
	echoTLS := func(cfg *starttls.Config) *backend {
		return serveBackend(t, func(nc net.Conn) {
			c, err := starttls.Server(t.Context(), nc, protocol.AMQP, cfg)
			if err != nil {
				return
			}
			io.Copy(c, c)
			c.CloseWrite()
			io.Copy(io.Discard, nc)
		})
	}
	withTLS := &tls.Config{Certificates: []tls.Certificate{ca.pair}}
	upgraded := echoTLS(&starttls.Config{TLS: withTLS})
	tlsEcho := serveBackend(t, func(nc net.Conn) {
		tc := tls.Server(nc, withTLS)
		io.Copy(tc, tc)
		tc.CloseWrite()
		io.Copy(io.Discard, nc)
	})
	size := 16 << 20
	if testing.Short() {
		size = 1 << 20
	}
	if text := os.Getenv(bytesEnv); text != "" {
		var err error
		size, err = strconv.Atoi(text)
		must(t, err)
	}
	toTLS := Backend{Address: tlsEcho.addr, TLS: "implicit", CA: ca.root, ServerName: testName}
	for name, x := range map[string]struct {
		l    Listener
		mode starttls.Mode
	}{
		"terminate":  {Listener{Accept: "implicit", Certificates: ca.certificates(), Backend: Backend{Address: plain.addr}}, starttls.Implicit},
		"TLS to TLS": {Listener{Accept: "implicit", Certificates: ca.certificates(), Backend: toTLS}, starttls.Implicit},
		"originate":  {Listener{Mode: "originate", Backend: toTLS}, starttls.None},
		"guard":      {Listener{Mode: "guard", Backend: Backend{Address: upgraded.addr}}, starttls.Required},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x.l.Protocol = "amqp" // passes as it is, and the client speaks first
			_, addr := start(t, x.l, quiet)
			cfg := ca.client()
			cfg.Mode = x.mode
			c, err := starttls.Dial(t.Context(), addr, protocol.AMQP, cfg)
			must(t, err)
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute + time.Duration(size)*300)) // 3 MB/s at least
			began := time.Now()
			sent, got := sha256.New(), sha256.New()
			var writing sync.WaitGroup
			writing.Go(func() {
				for left := size; left > 0; {
					b := make([]byte, min(left, 1+mrand.IntN(50000)))
					rand.Read(b)
					sent.Write(b)
					if _, err := c.Write(b); err != nil {
						t.Error(err)
						return
					}
					left -= len(b)
				}
				c.CloseWrite()
			})
			n, err := io.Copy(got, c)
			writing.Wait()
			if err != nil || n != int64(size) || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
				t.Errorf("%d bytes came back of %d: %v", n, size, err)
			}
			t.Logf("%d bytes each way in %v", size, time.Since(began))
		})
	}
}

// A TLS connection that breaks off is no end in good order: the backend's
// connection is reset or closed, and what would follow is not sent.
func TestBrokenTLSIsNoEnd(t *testing.T) {
	ca := newPKI(t)
	ended := make(chan error, 1)
	b := serveBackend(t, func(nc net.Conn) {
		_, err := io.Copy(io.Discard, nc)
		ended <- err
	})
	var log syncBuffer
	_, addr := start(t, Listener{Protocol: "amqp", Accept: "implicit", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}}, slog.New(slog.NewJSONHandler(&log, nil)))
	cfg := ca.client()
	cfg.Mode = starttls.Implicit
	c, err := starttls.Dial(t.Context(), addr, protocol.AMQP, cfg)
	must(t, err)
	_, err = c.Write([]byte("half a mess"))
	must(t, err)
	c.NetConn().Close() // without close_notify
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the backend's session goes on")
	}
	waitFor(t, func() bool { return strings.Contains(log.String(), `"outcome":"broken"`) })
}

// What is cut off looks complete to neither side: not to a client when its server
// breaks off, nor to a server with TLS when it is the client that does.
func TestCutIsNoEnd(t *testing.T) {
	ca := newPKI(t)
	withTLS := &tls.Config{Certificates: []tls.Certificate{ca.pair}}
	t.Run("by the server", func(t *testing.T) {
		heard := make(chan struct{})
		b := serveBackend(t, func(nc net.Conn) {
			io.WriteString(nc, "half a mess")
			<-heard
			nc.(*recorded).Conn.(*net.TCPConn).SetLinger(0)
		})
		_, addr := start(t, Listener{Protocol: "amqp", Accept: "implicit", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}}, quiet)
		cfg := ca.client()
		cfg.Mode = starttls.Implicit
		c, err := starttls.Dial(t.Context(), addr, protocol.AMQP, cfg)
		must(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		_, err = io.ReadFull(c, make([]byte, 11))
		close(heard)
		must(t, err)
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, io.EOF) {
			t.Errorf("what was cut looks complete: %v", err)
		}
	})
	t.Run("by the client", func(t *testing.T) {
		ended := make(chan error, 1)
		b := serveBackend(t, func(nc net.Conn) {
			_, err := io.Copy(io.Discard, tls.Server(nc, withTLS))
			ended <- err
		})
		_, addr := start(t, Listener{Protocol: "amqp", Accept: "implicit", Certificates: ca.certificates(), Backend: Backend{Address: b.addr, TLS: "implicit", CA: ca.root, ServerName: testName}}, quiet)
		cfg := ca.client()
		cfg.Mode = starttls.Implicit
		c, err := starttls.Dial(t.Context(), addr, protocol.AMQP, cfg)
		must(t, err)
		_, err = c.Write([]byte("half a mess"))
		must(t, err)
		c.NetConn().Close() // without close_notify
		select {
		case err := <-ended:
			if err == nil {
				t.Error("what was cut looks complete")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the backend's session goes on")
		}
	})
}

// Either side may have nothing more to say while the other still has.
func TestHalfCloses(t *testing.T) {
	ca := newPKI(t)
	heard := make(chan string, 1)
	b := serveBackend(t, func(nc net.Conn) {
		io.WriteString(nc, "all I have")
		nc.(*recorded).Conn.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(nc)
		heard <- string(got)
	})
	_, addr := start(t, Listener{Protocol: "amqp", Accept: "implicit", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}}, quiet)
	cfg := ca.client()
	cfg.Mode = starttls.Implicit
	c, err := starttls.Dial(t.Context(), addr, protocol.AMQP, cfg)
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(c); err != nil || string(got) != "all I have" {
		t.Errorf("%q, %v", got, err)
	}
	_, err = c.Write([]byte("still there"))
	must(t, err)
	must(t, c.CloseWrite())
	if got := <-heard; got != "still there" {
		t.Errorf("the backend heard %q", got)
	}
}

// A client that asks and does not read what it is told ends at the idle limit,
// and so does a backend that takes nothing.
func TestNobodyReads(t *testing.T) {
	ca := newPKI(t)
	for name, handle := range map[string]func(net.Conn){
		"the client":  func(nc net.Conn) { io.Copy(nc, zeroes{}) },
		"the backend": func(nc net.Conn) { <-t.Context().Done() },
	} {
		log := &syncBuffer{}
		b := serveBackend(t, handle)
		_, addr := start(t, Listener{Protocol: "amqp", Accept: "implicit", Certificates: ca.certificates(), Backend: Backend{Address: b.addr}, Limits: Limits{Idle: time.Second}}, jsonLog(log))
		cfg := ca.client()
		cfg.Mode = starttls.Implicit
		c, err := starttls.Dial(t.Context(), addr, protocol.AMQP, cfg)
		must(t, err)
		go io.Copy(c, zeroes{})
		waitFor(t, func() bool { return strings.Contains(log.String(), `"outcome":"idle"`) })
		c.Close()
		if t.Failed() {
			t.Log(name)
		}
	}
}

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) { return len(b), nil }
