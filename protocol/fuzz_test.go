package protocol

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"example.org/starttls"
)

// script is a peer whose every byte is known beforehand.
type script struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error) { return s.out.Write(b) }
func (s *script) SetDeadline(time.Time) error { return nil }
func (s *script) Close() error                { return nil }
func (s *script) RemoteAddr() net.Addr        { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (s *script) LocalAddr() net.Addr         { return s.RemoteAddr() }
func scripted(b []byte) *script               { return &script{in: bytes.NewReader(b)} }
func wireTo(s *script, side starttls.Side) *starttls.Wire {
	return starttls.NewWire(context.Background(), s, starttls.WireConfig{Side: side, ServerName: "server.example.test"})
}

// named is the protocol of that name, and for other names always the same one.
func named(t testing.TB, name string) starttls.Protocol {
	all := every(t)
	sum := 0
	for _, p := range all {
		if p.Info().Name == name {
			return p
		}
	}
	for _, b := range []byte(name) {
		sum += int(b)
	}
	return all[sum%len(all)]
}

// FuzzClient feeds every protocol's client half, and its prober.
func FuzzClient(f *testing.F) {
	for _, p := range every(f) {
		f.Add(p.Info().Name, dialogue(f, p, starttls.ServerSide))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		p := named(t, name)
		for _, ask := range []starttls.Ask{starttls.IfOffered, starttls.Always, starttls.NoAsk} {
			s := scripted(data)
			w := wireTo(s, starttls.ClientSide)
			if _, err := p.Client(w, ask); err == nil && ask != starttls.NoAsk && !w.Asked() {
				t.Errorf("%s agreed on TLS without asking for it", p.Info().Name)
			}
			w.Release()
			if ask == starttls.NoAsk && s.out.Len() > 0 {
				t.Errorf("%s wrote %q with NoAsk", p.Info().Name, s.out.Bytes())
			}
		}
		if prober, ok := p.(starttls.Prober); ok {
			w := wireTo(scripted(data), starttls.ClientSide)
			prober.Probe(w)
			w.Release()
		}
	})
}

// FuzzServer feeds every protocol's server half, and its host.
func FuzzServer(f *testing.F) {
	for _, p := range every(f) {
		f.Add(p.Info().Name, dialogue(f, p, starttls.ClientSide))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		p := named(t, name)
		for _, mode := range []starttls.OfferMode{starttls.Grant, starttls.Decline, starttls.Hide, starttls.Optional} {
			w := wireTo(scripted(data), starttls.ServerSide)
			out, err := p.Server(w, starttls.Hello{}, starttls.Offer{Mode: mode})
			if out.TLS && (mode == starttls.Decline || mode == starttls.Hide) {
				t.Errorf("%s went on to TLS in mode %d", p.Info().Name, mode)
			}
			if err == nil && !out.TLS && mode == starttls.Grant {
				t.Errorf("%s let a session begin without TLS", p.Info().Name)
			}
			w.Release()
		}
		if host, ok := p.(starttls.Host); ok {
			w := wireTo(scripted(data), starttls.ServerSide)
			host.Serve(w, starttls.Hello{}, nil)
			w.Release()
		}
		if bound, ok := p.(starttls.RequestBound); ok {
			w := wireTo(scripted(data), starttls.ServerSide)
			if request, _, err := bound.Request(w); err == nil && (len(request) == 0 || len(w.Ahead()) == 0) {
				t.Errorf("%s asks with %q, and %q is left", p.Info().Name, request, w.Ahead())
			}
			w.Release()
		}
	})
}

// dialogue records what one side says in clear in a good upgrade.
func dialogue(t testing.TB, p starttls.Protocol, side starttls.Side) []byte {
	t.Helper()
	a, b := net.Pipe()
	rec := &recorder{Conn: a}
	if side == starttls.ServerSide {
		rec.Conn = b
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var nc net.Conn = b
		if side == starttls.ServerSide {
			nc = rec
		}
		_, err := p.Server(starttls.NewWire(ctx, nc, starttls.WireConfig{Side: starttls.ServerSide}), starttls.Hello{}, starttls.Offer{})
		done <- err
	}()
	var nc net.Conn = a
	if side == starttls.ClientSide {
		nc = rec
	}
	if _, err := p.Client(starttls.NewWire(ctx, nc, starttls.WireConfig{}), starttls.IfOffered); err != nil {
		t.Fatalf("%s: %v", p.Info().Name, err)
	}
	go a.Write(record) // what comes next; some servers' halves wait for it
	err := <-done
	a.Close()
	if err != nil {
		t.Fatalf("%s: %v", p.Info().Name, err)
	}
	return rec.said
}

// record is the beginning of a TLS record.
var record = []byte("\x16\x03\x01")

// recorder keeps what is written to a connection.
type recorder struct {
	net.Conn
	said []byte
}

func (r *recorder) Write(b []byte) (int, error) {
	r.said = append(r.said, b...)
	return r.Conn.Write(b)
}
