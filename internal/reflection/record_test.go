package reflection_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"example.org/starttls/check"
	"example.org/starttls/internal/reflection"
	"example.org/starttls/protocol"
)

// The record is for who has the key, and for nobody else.
func TestKey(t *testing.T) {
	r := reflector(t, protocol.SMTP)
	dial := new(net.Dialer).DialContext
	c, err := reflection.Dial(t.Context(), dial, r.Addr, reflection.NewKey())
	if err == nil { // TLS 1.3: a client learns only then that it was refused
		_, err = c.Ask(t.Context(), reflection.Question{After: -1})
		c.Close()
	}
	if err == nil {
		t.Error("a stranger is told")
	}
	if _, err := reflection.ParseKey("short"); err == nil {
		t.Error("a token that is none is taken")
	}
	k := reflection.NewKey()
	if again, err := reflection.ParseKey(k.String()); err != nil || again.String() != k.String() {
		t.Error("a key does not come back as it was", err)
	}
	other, err := check.ParseReflector(r.Addr + "#" + r.Key)
	if err != nil {
		t.Fatal(err)
	}
	got := check.Reflect(t.Context(), check.Target{Protocol: protocol.SMTP, Host: "127.0.0.1", Port: 1}, check.Options{}, other)
	if got.Verdict != "failed" || got.Error == nil { // it was not asked for its services
		t.Errorf("%+v", got)
	}
}

// What an end keeps is bounded, and cut where TLS begins.
func TestTap(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	go func() {
		b.Write(append(bytes.Repeat([]byte("x"), 10), "\x16\x03\x01"...))
		b.Write(make([]byte, reflection.Most+1))
		b.Close()
	}()
	tap := &reflection.Tap{Conn: a}
	buf := make([]byte, 13)
	io.ReadFull(tap, buf)
	tap.Upgrade(buf[10:])
	io.Copy(io.Discard, tap)
	came, _, _ := tap.Seen()
	if len(came.Clear) != 10 || len(came.TLS) != reflection.Most || came.TLS[0] != 0x16 {
		t.Errorf("%d in clear, %d of TLS", len(came.Clear), len(came.TLS))
	}
}

// A client can not make it say more than it should, nor serve it for long.
func TestQuestions(t *testing.T) {
	t.Parallel()
	r := reflector(t, protocol.SMTP)
	key, err := reflection.ParseKey(r.Key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := reflection.Dial(ctx, new(net.Dialer).DialContext, r.Addr, key)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range reflection.MostTold + 4 {
		nc, err := net.Dial("tcp", r.Services[0].Addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.Write([]byte("QUIT\r\n"))
		io.Copy(io.Discard, nc)
		nc.Close()
	}
	a, err := c.Ask(ctx, reflection.Question{Protocol: "smtp"})
	if err != nil || len(a.Connections) != reflection.MostTold || a.Last != reflection.MostTold+4 {
		t.Errorf("%d connections of %d: %v", len(a.Connections), a.Last, err)
	}
	if _, err := c.Ask(ctx, reflection.Question{Protocol: strings.Repeat("x", 2000)}); err == nil {
		t.Error("a question without an end is read")
	}
}

func FuzzRandom(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"))
	f.Add(append([]byte("\x12\x01\x00\x80\x00\x00\x00\x00\x16\x03\x01\x00\x75\x01\x00\x00\x71\x03\x03"), make([]byte, 32)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r := reflection.Random(b); r != nil && len(r) != 32 {
			t.Errorf("%x", r)
		}
	})
}
