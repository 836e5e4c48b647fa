package protocol

import (
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
)

// talk has a half speak with a peer whose part is written down: a turn that
// begins with "<" is sent to the half, one with ">" is what it must say, to the
// byte. The dialogue is held twice, with whole turns and with single bytes. It
// returns how the half ended, in a word, after which the peer is gone.
func talk(t *testing.T, side starttls.Side, turns []string, half func(*starttls.Wire) error) string {
	t.Helper()
	var ends []string
	for _, size := range []int{1 << 20, 1} {
		ours, theirs := net.Pipe()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		spoken := make(chan error, 1)
		go func() {
			err := speak(theirs, turns, size)
			theirs.Close()
			spoken <- err
		}()
		w := starttls.NewWire(ctx, ours, starttls.WireConfig{Side: side, ServerName: "s.test", LocalName: "c.test"})
		err := half(w)
		w.Release()
		ours.Close()
		if said := <-spoken; said != nil {
			t.Errorf("turns of %d bytes: %v (the half ended with %v)", size, said, err)
		}
		cancel()
		ends = append(ends, end(err))
	}
	if ends[0] != ends[1] {
		t.Errorf("in whole turns it ends with %q, in single bytes with %q", ends[0], ends[1])
	}
	return ends[0]
}

var streamID = regexp.MustCompile(`id='[A-Z2-7]{26}'`)

// speak is the peer's part. What is random in the half's is put as anID.
func speak(nc net.Conn, turns []string, size int) error {
	for i, turn := range turns {
		text := turn[1:]
		if turn[0] == '<' {
			for len(text) > 0 {
				n := min(size, len(text))
				if _, err := nc.Write([]byte(text[:n])); err != nil {
					if i == len(turns)-1 { // the half has heard enough
						return nil
					}
					return err
				}
				text = text[n:]
			}
			continue
		}
		b := make([]byte, len(text))
		n, err := io.ReadFull(nc, b)
		if got := streamID.ReplaceAllString(string(b[:n]), anID); got != text {
			return errors.Join(err, errors.New("want "+starttls.Escape(text)+"\n got "+starttls.Escape(got)))
		}
	}
	return nil
}

const anID = "id='AAAAAAAAAAAAAAAAAAAAAAAAAA'"

// end is a word for how a half ended.
func end(err error) string {
	var refused *starttls.RefusedError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, starttls.ErrNotOffered):
		return "not offered"
	case errors.Is(err, starttls.ErrNotUpgraded):
		return "not upgraded"
	case errors.Is(err, starttls.ErrAlreadyAuthenticated):
		return "already authenticated"
	case errors.As(err, &refused) && refused.Temporary:
		return "refused for now"
	case errors.As(err, &refused):
		return "refused"
	case errors.As(err, new(*starttls.ReplyError)):
		return "reply"
	case errors.As(err, new(*starttls.LimitError)):
		return "limit"
	case errors.As(err, new(*starttls.InjectedError)):
		return "injected"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "end of file"
	}
	return err.Error()
}

// clientCase is a dialogue of a client's half.
type clientCase struct {
	name  string
	ask   starttls.Ask
	turns []string
	end   string
	caps  string // joined by spaces
	hello func(starttls.Hello) bool
}

func testClient(t *testing.T, p starttls.Protocol, cases []clientCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var h starttls.Hello
			got := talk(t, starttls.ClientSide, c.turns, func(w *starttls.Wire) (err error) {
				h, err = p.Client(w, c.ask)
				return err
			})
			if got != c.end || strings.Join(h.Caps, " ") != c.caps {
				t.Errorf("ends with %q, capabilities %q; want %q, %q", got, h.Caps, c.end, c.caps)
			}
			if c.hello != nil && !c.hello(h) {
				t.Errorf("hello: %+v", h)
			}
		})
	}
}

// serverCase is a dialogue of a server's half.
type serverCase struct {
	name  string
	offer starttls.Offer
	hello starttls.Hello
	turns []string
	end   string
	tls   bool
}

func testServer(t *testing.T, p starttls.Protocol, cases []serverCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out starttls.Outcome
			got := talk(t, starttls.ServerSide, c.turns, func(w *starttls.Wire) (err error) {
				out, err = p.Server(w, c.hello, c.offer)
				return err
			})
			if got != c.end || out.TLS != c.tls {
				t.Errorf("ends with %q, TLS %v; want %q, %v", got, out.TLS, c.end, c.tls)
			}
		})
	}
}

// session holds a dialogue with p's host, at the resume point, and returns what
// it was given away.
func session(t *testing.T, p starttls.Protocol, h starttls.Hello, tls bool, turns ...string) (leaks []starttls.Leak, ended string) {
	t.Helper()
	ours, theirs := net.Pipe()
	spoken := make(chan error, 1)
	go func() {
		err := speak(theirs, turns, 1<<20)
		theirs.Close()
		spoken <- err
	}()
	w := starttls.NewWire(context.Background(), ours, starttls.WireConfig{Side: starttls.ServerSide, ServerName: "s.test", TLS: tls})
	err := p.(starttls.Host).Serve(w, h, func(l starttls.Leak) { leaks = append(leaks, l) })
	w.Release()
	ours.Close()
	if said := <-spoken; said != nil {
		t.Error(said)
	}
	return leaks, end(err)
}

// fuzzPeer feeds data to all that p has. What it answers must be bounded by
// what it was given.
func fuzzPeer(t *testing.T, p starttls.Protocol, data []byte) {
	bounded := func(s *script, what string) {
		if most := 64*len(data) + 8192; s.out.Len() > most {
			t.Errorf("%s: %d bytes in answer to %d", what, s.out.Len(), len(data))
		}
	}
	client := func(what string, half func(*starttls.Wire) error) {
		s := scripted(data)
		w := wireTo(s, starttls.ClientSide)
		half(w)
		w.Release()
		bounded(s, what)
	}
	client("client", func(w *starttls.Wire) error { _, err := p.Client(w, starttls.IfOffered); return err })
	client("blind client", func(w *starttls.Wire) error { _, err := p.Client(w, starttls.Always); return err })
	client("prober", func(w *starttls.Wire) error { _, err := p.(starttls.Prober).Probe(w); return err })
	if settler, ok := p.(starttls.Settler); ok {
		client("settler", settler.Settle)
	}
	for mode := starttls.Grant; mode <= starttls.NoOffer; mode++ {
		s := scripted(data)
		w := wireTo(s, starttls.ServerSide)
		out, err := p.Server(w, starttls.Hello{}, starttls.Offer{Mode: mode})
		if may := mode == starttls.Grant || mode == starttls.Optional; out.TLS && !may || err == nil && !out.TLS && mode < starttls.Hide {
			t.Errorf("mode %d ended with TLS %v, %v", mode, out.TLS, err)
		}
		if err == nil && !out.TLS {
			p.(starttls.Host).Serve(w, starttls.Hello{}, nil)
		}
		w.Release()
		bounded(s, "server")
	}
}
