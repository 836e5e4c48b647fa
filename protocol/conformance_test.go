package protocol

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/starttls"
)

// The conformance suite: what every protocol must do, by existing. It knows
// none by name. docs/rules.md says which rule each test holds.

func each(t *testing.T, f func(t *testing.T, p starttls.Protocol)) {
	for _, p := range every(t) {
		t.Run(p.Info().Name, func(t *testing.T) {
			t.Parallel()
			f(t, p)
		})
	}
}

// tap records what passes over a connection, in the order of its writes.
type tap struct {
	net.Conn
	mu   sync.Mutex
	sent []byte
}

func (c *tap) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.sent = append(c.sent, b...)
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *tap) said() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sent)
}

// upgradeOver runs both halves, each over an end of one connection.
func upgradeOver(ctx context.Context, p starttls.Protocol, client, server *starttls.Config, a, b net.Conn) (cc, sc *starttls.Conn, cerr, serr error) {
	var wg sync.WaitGroup
	wg.Go(func() {
		if sc, serr = starttls.Server(ctx, b, p, server); serr == nil && !settled(p) {
			return
		}
		if serr == nil { // what follows TLS needs somebody to talk to
			w := sc.Wire(ctx)
			p.(starttls.Host).Serve(w, starttls.Hello{}, nil)
		}
	})
	cc, cerr = starttls.Client(ctx, a, p, client)
	if cerr == nil && settled(p) {
		cc.Close()
	}
	wg.Wait()
	return
}

func settled(p starttls.Protocol) bool {
	_, ok := p.(starttls.Settler)
	return ok
}

// loopback gives the two ends of a TCP connection.
func loopback(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// A peer that closes after any byte of its half leaves an error, and no hang.
func TestCutAfterEveryByte(t *testing.T) {
	each(t, func(t *testing.T, p starttls.Protocol) {
		for _, side := range []starttls.Side{starttls.ClientSide, starttls.ServerSide} {
			whole := dialogue(t, p, side)
			for n := range whole {
				s := scripted(whole[:n])
				var err error
				if side == starttls.ServerSide { // what the server said, to the client's half
					_, err = p.Client(wireTo(s, starttls.ClientSide), starttls.IfOffered)
				} else {
					_, err = p.Server(wireTo(s, starttls.ServerSide), starttls.Hello{}, starttls.Offer{})
				}
				if err == nil && !(p.Info().EagerClient && n == len(whole)) {
					t.Errorf("the %s was cut after %d of %d bytes, and nobody minds: %q", side, n, len(whole), whole[:n])
				}
			}
		}
	})
}

// Replies parse however they are split: here after every byte.
func TestOneByteAtATime(t *testing.T) {
	each(t, func(t *testing.T, p starttls.Protocol) {
		s := &slow{script: scripted(dialogue(t, p, starttls.ServerSide))}
		w := starttls.NewWire(context.Background(), s, starttls.WireConfig{ServerName: "server.example.test"})
		if _, err := p.Client(w, starttls.IfOffered); err != nil {
			t.Errorf("client: %v", err)
		}
		s = &slow{script: scripted(append(dialogue(t, p, starttls.ClientSide), record...))}
		w = starttls.NewWire(context.Background(), s, starttls.WireConfig{Side: starttls.ServerSide})
		if out, err := p.Server(w, starttls.Hello{}, starttls.Offer{}); err != nil || !out.TLS {
			t.Errorf("server: %v", err)
		}
	})
}

type slow struct{ *script }

func (s *slow) Read(b []byte) (int, error) { return s.script.Read(b[:min(1, len(b))]) }

// Rule 4: five minutes of silence, after any write of the peer, end by the
// limit of the phase.
func TestSilenceEnds(t *testing.T) {
	for _, p := range every(t) {
		t.Run(p.Info().Name, func(t *testing.T) {
			for _, side := range []starttls.Side{starttls.ClientSide, starttls.ServerSide} {
				said := dialogue(t, p, side)
				for _, n := range []int{0, min(1, len(said)), len(said) / 2, len(said)} {
					synctest.Test(t, func(t *testing.T) { silence(t, p, side, said[:n]) })
				}
			}
		})
	}
}

func silence(t *testing.T, p starttls.Protocol, side starttls.Side, said []byte) {
	a, b := net.Pipe()
	go io.Copy(io.Discard, b)
	go func() {
		for i := range said { // byte by byte, so that no answer comes before its question
			b.Write(said[i : i+1])
		}
	}()
	start := time.Now()
	var err error
	if side == starttls.ServerSide {
		_, err = starttls.Client(context.Background(), a, p, &starttls.Config{ServerName: "x.example.test"})
	} else {
		_, err = starttls.Server(context.Background(), a, p, &starttls.Config{TLS: &tls.Config{Certificates: []tls.Certificate{{}}}})
	}
	var e *starttls.Error
	if took := time.Since(start); !errors.As(err, &e) || !e.Timeout() || took > 2*time.Minute {
		t.Errorf("a silent %s after %d bytes: %v after %v", side, len(said), err, took)
	}
	b.Close()
	synctest.Wait()
}

// Rule 4: floods end, and not by the peer's mercy.
func TestFloodsEnd(t *testing.T) {
	floods := map[string]io.Reader{
		"lines":   endless("220-x\r\n"),
		"ones":    endless("x\r\n"),
		"no line": endless("x"),
		"NULs":    endless("\x00"),
		"tags":    endless("<a b='c'>"),
		"packets": endless("\x30\x84\x7f\xff\xff\xff"),
		"caps":    endless("* CAPABILITY X\r\n"),
	}
	for _, p := range every(t) {
		for name, r := range floods {
			for _, side := range []starttls.Side{starttls.ClientSide, starttls.ServerSide} {
				c := &counted{script: scripted(nil), r: r}
				w := starttls.NewWire(context.Background(), c, starttls.WireConfig{Side: side})
				var err error
				if side == starttls.ClientSide {
					_, err = p.Client(w, starttls.Always)
				} else {
					_, err = p.Server(w, starttls.Hello{}, starttls.Offer{})
				}
				if err == nil && len(w.Ahead()) == 0 && !(p.Info().EagerClient && side == starttls.ServerSide) { // what is ahead the core finds
					t.Errorf("%s %s: no error", p.Info().Name, name)
				}
				if c.n > 1<<20+8192 {
					t.Errorf("%s %s: %d bytes were read", p.Info().Name, name, c.n)
				}
				w.Release()
			}
		}
	}
}

type endless string

func (e endless) Read(b []byte) (int, error) {
	n := 0
	for n+len(e) <= len(b) {
		n += copy(b[n:], e)
	}
	if n == 0 {
		n = copy(b, e)
	}
	return n, nil
}

type counted struct {
	*script
	r io.Reader
	n int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

// Rule 3: a server that declines or hides TLS leaves a client without a
// connection, and says no more after that.
func TestNoTLSNoConnection(t *testing.T) {
	client, server := pair(t)
	each(t, func(t *testing.T, p starttls.Protocol) {
		for _, mode := range []starttls.OfferMode{starttls.Decline, starttls.Hide} {
			for _, blind := range []bool{false, true} {
				ccfg, scfg := *client, *server
				ccfg.Blind, scfg.Offer.Mode = blind, mode
				ccfg.Timeouts = starttls.Timeouts{Cleartext: 2 * time.Second, Handshake: 2 * time.Second}
				a, b := loopback(t)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				go func() {
					// Hiding may end at the resume point; the client must not take it for more.
					if sc, err := starttls.Server(ctx, b, p, &scfg); err == nil {
						w := sc.Wire(ctx)
						p.(starttls.Host).Serve(w, starttls.Hello{}, nil)
						sc.Close()
					}
				}()
				cc, err := starttls.Client(ctx, a, p, &ccfg)
				if cc != nil || err == nil {
					t.Errorf("mode %d, blind %v: there is a connection at level %v", mode, blind, cc.Level())
				}
				cancel()
			}
		}
	})
}

// Rule 7: what a client says before TLS and the server does not know as
// harmless is in no transcript, whatever the protocol.
func TestSecretsAreNotKept(t *testing.T) {
	const secret = "hunter2secret"
	lines := []string{"PASS " + secret, "AUTH PLAIN " + secret, "a LOGIN user " + secret, secret, "AUTHENTICATE \"PLAIN\" \"" + secret + "\"",
		"AUTHINFO PASS " + secret, "<auth mechanism='PLAIN'>" + secret + "</auth>", "\x30\x1f\x02\x01\x01\x60\x1a\x02\x01\x03\x04\x04user\x80\x0f" + secret + "xx"}
	each(t, func(t *testing.T, p starttls.Protocol) {
		for _, l := range lines {
			w := wireTo(scripted([]byte(l+"\r\n"+l+"\r\n")), starttls.ServerSide)
			p.Server(w, starttls.Hello{}, starttls.Offer{})
			if s := w.Transcript().String(); strings.Contains(strings.ToLower(s), secret) {
				t.Errorf("%q is kept:\n%s", l, s)
			}
			a, b := loopback(t)
			go func() { io.WriteString(a, l+"\r\n"+l+"\r\n"); io.Copy(io.Discard, a); a.Close() }()
			a.SetDeadline(time.Now().Add(time.Second))
			_, err := starttls.Server(t.Context(), b, p, &starttls.Config{Timeouts: starttls.Timeouts{Cleartext: 50 * time.Millisecond}})
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%q: the error is %v", l, err)
			}
		}
	})
}

// A context that ends interrupts each stage, and its cause is what is said.
func TestContextEnds(t *testing.T) {
	each(t, func(t *testing.T, p starttls.Protocol) {
		for _, mode := range []starttls.Mode{starttls.Required, starttls.Implicit} {
			a, b := loopback(t)
			go io.Copy(io.Discard, b)
			cause := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(10*time.Millisecond, func() { cancel(cause) })
			_, err := starttls.Client(ctx, a, p, &starttls.Config{Mode: mode, ServerName: "x.example.test"})
			if !errors.Is(err, cause) {
				t.Errorf("%v: %v", mode, err)
			}
			if _, err := a.Write([]byte("x")); err == nil {
				t.Errorf("%v: the connection is still open", mode)
			}
		}
	})
}

// A server half that is given only bytes of a good dialogue consumes not one
// byte too many: what follows is still there.
func TestNothingIsReadTooFar(t *testing.T) {
	each(t, func(t *testing.T, p starttls.Protocol) {
		const rest = "\x16\x03\x01rest"
		w := wireTo(scripted(append(dialogue(t, p, starttls.ClientSide), rest...)), starttls.ServerSide)
		out, err := p.Server(w, starttls.Hello{}, starttls.Offer{})
		if err != nil || !out.TLS {
			t.Fatalf("%v", err)
		}
		b, err := io.ReadAll(w.Conn())
		if !bytes.Equal(b, []byte(rest)) || err != nil {
			t.Errorf("%q is left of %q: %v", b, rest, err)
		}
	})
}
