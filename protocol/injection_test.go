package protocol

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/hostile"
)

// Each protocol's injection test tells a server that carries a command across
// the handshake from one that drops it, over the whole wire.
func TestInjectionTellsCarelessFromCareful(t *testing.T) {
	client, server := pair(t)
	each(t, func(t *testing.T, p starttls.Protocol) {
		injector, ok := p.(starttls.Injector)
		if !ok {
			t.Fatal("has no injection test")
		}
		const marker = "M7QZXVKA"
		in := injector.Injection("server.example.test", marker)
		if r := in.Classify(nil); r.Probe || r.Control {
			t.Errorf("nothing said counts as %+v", r)
		}
		for name, keep := range map[string]func([]byte) []byte{
			"careless": hostile.All,
			"careful":  nil,
		} {
			got := inject(t, p, client, server, in, keep)
			want := starttls.Reply{Probe: name == "careless", Control: name == "careful"}
			if got.Probe != want.Probe || want.Control && !got.Control {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
		}
	})
}

// inject sends the probe behind the request and the control inside TLS, and
// classifies all that is then said.
func inject(t *testing.T, p starttls.Protocol, client, server *starttls.Config, in starttls.Injection, keep func([]byte) []byte) starttls.Reply {
	t.Helper()
	a, b := loopback(t)
	go hostile.Serve(context.Background(), b, p, server, hostile.Fault{Keep: keep})
	cfg := *client
	cfg.Bare = true
	cfg.OnAsk = func(msg []byte) []starttls.Segment {
		return []starttls.Segment{{Data: append(slices.Clone(msg), in.Probe...)}}
	}
	conn, err := starttls.Client(t.Context(), a, p, &cfg)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer conn.Close()
	if _, err := conn.Write(in.Control); err != nil {
		t.Fatal(err)
	}
	var said []byte
	buf := make([]byte, 4096)
	for {
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := conn.Read(buf)
		said = append(said, buf[:n]...)
		r := in.Classify(said)
		var ne net.Error
		if r.Control || err != nil && (r.Probe || !errors.Is(err, os.ErrDeadlineExceeded) && !(errors.As(err, &ne) && ne.Timeout())) {
			return r
		}
		if err != nil {
			t.Fatalf("no answer to the control command: %q", said)
		}
	}
}
