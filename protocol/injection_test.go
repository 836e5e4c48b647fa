package protocol

import (
	"context"
	"slices"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/hostile"
)

const marker = "M7QZXVKA"

// injection is p's injection test. Every protocol has one.
func injection(t testing.TB, p starttls.Protocol) starttls.Injection {
	t.Helper()
	injector, ok := p.(starttls.Injector)
	if !ok {
		t.Fatal("has no injection test")
	}
	return injector.Injection("server.example.test", marker)
}

// classify gives Classify what a server said in pieces, each with all before
// it: what was recognised once must stay so.
func classify(t testing.TB, in starttls.Injection, said []byte, step int) (r starttls.Reply) {
	t.Helper()
	for n := 0; n <= len(said); n += step {
		before := r
		if r = in.Classify(said[:n:n]); before.Probe && !r.Probe || before.Control && !r.Control {
			t.Fatalf("%+v, and %+v with what came then: %q", before, r, said[:n])
		}
	}
	return r
}

// Each protocol's injection test tells a server that carries a command across
// the handshake from one that drops it, over the whole wire.
func TestInjectionTellsCarelessFromCareful(t *testing.T) {
	client, server := pair(t)
	each(t, func(t *testing.T, p starttls.Protocol) {
		in := injection(t, p)
		said, r := inject(t, p, client, server, in, hostile.All)
		if !r.Probe {
			t.Errorf("careless: %+v of %q", r, said)
		}
		said, r = inject(t, p, client, server, in, nil)
		if r != (starttls.Reply{Control: true}) {
			t.Errorf("careful: %+v of %q", r, said)
		}
	})
}

// inject sends the probe behind the request and the control inside TLS, and
// classifies what is then said, as far as the first answer.
func inject(t *testing.T, p starttls.Protocol, client, server *starttls.Config, in starttls.Injection, keep func([]byte) []byte) (said []byte, r starttls.Reply) {
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
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 4096)
	for err == nil && !r.Probe && !r.Control {
		var n int
		n, err = conn.Read(buf)
		said = append(said, buf[:n]...)
		r = classify(t, in, said, 1)
	}
	return said, r
}

// What a server says of itself is no answer to anything: not what it says again
// inside TLS because it must, nor a greeting that it should not say again.
func TestInjectionUnsolicited(t *testing.T) {
	each(t, func(t *testing.T, p starttls.Protocol) {
		in := injection(t, p)
		s := scripted(nil)
		w := starttls.NewWire(context.Background(), s, starttls.WireConfig{Side: starttls.ServerSide, ServerName: "server.example.test", TLS: true, Upgraded: true})
		if _, err := p.Server(w, starttls.Hello{}, starttls.Offer{Mode: starttls.NoOffer}); err != nil {
			t.Fatal(err)
		}
		for _, said := range []string{s.out.String(), p.Info().Greeting, "220 ready\r\n", "200 ready\r\n", "+OK ready\r\n", "* OK ready\r\n"} {
			if r := classify(t, in, []byte(said), 1); r.Probe || r.Control {
				t.Errorf("%+v of %q", r, said)
			}
		}
	})
}

// A server that answers before TLS is recognised by the same words, whatever
// the marker.
func TestInjectionAnsweredInClear(t *testing.T) {
	each(t, func(t *testing.T, p starttls.Protocol) {
		for _, marker := range []string{marker, "AAAAAAAA", "ZZZZZZZZ", "A0000000", "B1B1B1BA"} {
			in := p.(starttls.Injector).Injection("server.example.test", marker)
			said := answers(t, p, in.Probe)
			if r := classify(t, in, said, 1); !r.Probe {
				t.Errorf("%s: %+v of the answer to the probe, %q", marker, r, said)
			}
			said = answers(t, p, in.Control)
			if r := classify(t, in, said, 1); r != (starttls.Reply{Control: true}) {
				t.Errorf("%s: %+v of the answer to the control, %q", marker, r, said)
			}
		}
	})
}

// answers is what a server says in clear, behind its go-ahead, to a command.
func answers(t testing.TB, p starttls.Protocol, command []byte) []byte {
	t.Helper()
	s := scripted(append(dialogue(t, p, starttls.ClientSide), command...))
	w := wireTo(s, starttls.ServerSide)
	if _, err := p.Server(w, starttls.Hello{}, starttls.Offer{Mode: starttls.Optional}); err != nil {
		t.Fatal(err)
	}
	s.out.Reset()
	w = starttls.NewWire(context.Background(), w.Conn(), starttls.WireConfig{Side: starttls.ServerSide, Upgraded: true})
	defer w.Release()
	p.(starttls.Host).Serve(w, starttls.Hello{}, nil) // fails at the end of the script, if not before
	return s.out.Bytes()
}

// FuzzClassify gives what a server may say to every protocol's Classify.
func FuzzClassify(f *testing.F) {
	for _, p := range All() {
		in := injection(f, p)
		f.Add(answers(f, p, in.Probe))
		f.Add(answers(f, p, in.Control))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		for _, p := range All() {
			classify(t, injection(t, p), said, 1+len(said)/64)
		}
	})
}
