package tlsprobe

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// serve runs a server on the other end of a pipe, which hears the hello first.
func serve(say func(nc net.Conn)) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			server.Read(make([]byte, 4096))
			go io.Copy(io.Discard, server)
			say(server)
		}()
		return client, nil
	}
}

func says(b ...byte) func(net.Conn) { return func(nc net.Conn) { nc.Write(b) } }

func forever(nc net.Conn) { nc.Read(make([]byte, 1)) }

// drip says b a byte a second.
func drip(b ...byte) func(net.Conn) {
	return func(nc net.Conn) {
		for i := range b {
			if _, err := nc.Write(b[i : i+1]); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
}

// endless says b again and again, a second apart.
func endless(b ...byte) func(net.Conn) {
	return func(nc net.Conn) {
		for {
			if _, err := nc.Write(b); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
}

func TestOutcomes(t *testing.T) {
	record := func(message []byte) []byte {
		return tlswire.Record{Type: tlswire.HandshakeRecord, Version: tlswire.TLS12, Body: message}.Append(nil)
	}
	hello := record((&tlswire.ServerHello{Legacy: tlswire.TLS12, Suite: 0xc02f}).Marshal())
	for _, c := range []struct {
		name string
		say  func(net.Conn)
		want Outcome
		also func(*Answer) bool
		took time.Duration
	}{
		{"alert", says(21, 3, 3, 0, 2, 2, 40), Refused, func(a *Answer) bool { return a.Alert.Name() == "handshake_failure" }, 0},
		{"cleartext", says([]byte("454 TLS not available\r\n")...), Cleartext, func(a *Answer) bool { return string(a.Cleartext) == "454 TLS not available\r\n" }, 0},
		{"close", func(net.Conn) {}, Closed, nil, 0},
		{"half a record", says(22, 3, 3), Closed, nil, 0},
		{"nothing", forever, TimedOut, nil, 5 * time.Second},
		{"a byte a second", drip(hello...), TimedOut, nil, 5 * time.Second},
		{"an empty record a second", endless(22, 3, 3, 0, 0), TimedOut, nil, 5 * time.Second},
		{"warnings", endless(21, 3, 3, 0, 2, 1, 112), TimedOut, func(a *Answer) bool { return len(a.Warnings) >= 5 }, 5 * time.Second},
		{"another message", says(record(tlswire.NewMessage(tlswire.ServerHelloDone, nil))...), Malformed, nil, 0},
		{"a hello that is malformed", says(record(tlswire.NewMessage(tlswire.ServerHelloMessage, []byte("hello")))...), Malformed, nil, 0},
		{"a hello, then nothing", func(nc net.Conn) { nc.Write(hello); forever(nc) }, Accepted, func(a *Answer) bool { return !a.Whole && a.Suite == 0xc02f && timedOut(a.Err) }, 5 * time.Second},
		{"a hello, then an alert", says(append(hello, 21, 3, 3, 0, 2, 2, 80)...), Accepted, func(a *Answer) bool { return a.Alert.Name() == "internal_error" }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{Dial: serve(c.say)}
				start := time.Now()
				a, err := s.ask(t.Context(), s.hello(tlswire.TLS12, []uint16{0xc02f}))
				if err != nil {
					t.Fatal(err)
				}
				if a.Outcome != c.want || c.also != nil && !c.also(a) {
					t.Errorf("%v: %+v", a, a)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				time.Sleep(time.Minute) // until the server is gone
				if len(a.Sent) == 0 || a.Outcome != Accepted && a.Err == nil {
					t.Errorf("no evidence: %+v", a)
				}
			})
		})
	}
}

// The end of the context ends all, whatever the server does.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("nobody wants to know any more")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		s := &Server{Dial: serve(forever), Parallel: 2}
		start := time.Now()
		if r, err := s.Scan(ctx); !errors.Is(err, gone) || r.Versions != nil {
			t.Errorf("%+v, %v", r, err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
		if _, err := s.ask(ctx, s.hello(tlswire.TLS12, nil)); !errors.Is(err, gone) {
			t.Error(err)
		}
	})
}

// Send obeys the deadline that the connection has, and that of the context.
func TestSendDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		h := s.hello(tlswire.TLS12, []uint16{0xc02f})
		nc, _ := serve(forever)(t.Context())
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(3 * time.Second))
		start := time.Now()
		if a, err := Send(t.Context(), nc, h); err != nil || a.Outcome != TimedOut || time.Since(start) != 3*time.Second {
			t.Errorf("%v, %v after %v", a, err, time.Since(start))
		}
		nc, _ = serve(forever)(t.Context())
		defer nc.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start = time.Now()
		if _, err := Send(ctx, nc, h); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// A hello is sent as it was asked for: in records and segments.
func TestFraming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		var segments []int
		var gap time.Duration
		go func() {
			defer server.Close()
			b := make([]byte, 1<<16)
			start := time.Now()
			for range 2 {
				n, err := server.Read(b)
				if err != nil {
					return
				}
				segments = append(segments, n)
				gap = time.Since(start)
			}
		}()
		s := &Server{}
		h := s.hello(tlswire.TLS12, []uint16{0xc02f})
		h.RecordSize, h.Segment, h.RecordVersion = 16, 30, tlswire.TLS11
		a, err := Send(t.Context(), client, h)
		if err != nil || a.Outcome != Closed {
			t.Fatal(a, err)
		}
		if len(segments) != 2 || segments[0] != 30 || gap != segmentGap {
			t.Errorf("segments of %v bytes, %v apart", segments, gap)
		}
		message, _ := h.Marshal()
		if records := (len(message) + 15) / 16; len(a.Sent) != len(message)+5*records || a.Sent[2] != 2 {
			t.Errorf("%d bytes of a message of %d in records of 16: % x", len(a.Sent), len(message), a.Sent[:8])
		}
	})
}

// As many connections at once as may be, and no more.
func TestParallel(t *testing.T) {
	for _, parallel := range []int{0, 1, 3} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			now, most := 0, 0
			count := func(n int) {
				mu.Lock()
				defer mu.Unlock()
				now += n
				most = max(most, now)
			}
			silent := serve(func(nc net.Conn) {
				count(1)
				time.Sleep(time.Second)
				count(-1)
			})
			s := &Server{Dial: silent, Parallel: parallel}
			if _, err := s.Versions(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want := max(1, parallel); most != want {
				t.Errorf("%d at once, want %d", most, want)
			}
		})
	}
}

func TestSNINames(t *testing.T) {
	for name, want := range map[string]string{"mail.example.test": "mail.example.test", "mail.example.test.": "mail.example.test", "192.0.2.1": "", "2001:db8::1": "", "": ""} {
		h := (&Server{Name: name}).hello(tlswire.TLS12, nil)
		data, _ := h.Extensions.Get(tlswire.ExtServerName)
		if got, _ := tlswire.ParseServerName(data); got != want {
			t.Errorf("for %q: %q", name, got)
		}
	}
}

// Whatever bytes come back, there is an answer and an end.
func FuzzSend(f *testing.F) {
	f.Fuzz(func(t *testing.T, version uint16, said []byte) {
		s := &Server{Name: "mail.example.test", Dial: serve(says(said...))}
		h := s.full(version, tlswire.Suites(version))
		if version == tlswire.SSL2 {
			h.SSL2 = &tlswire.SSL2Hello{Version: version, Ciphers: tlswire.SSL2Ciphers, Challenge: make([]byte, 16)}
		}
		a, err := s.ask(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		if a.Outcome == 0 || a.Outcome == Accepted && a.Hello == nil && a.SSL2 == nil {
			t.Errorf("%+v", a)
		}
	})
}
