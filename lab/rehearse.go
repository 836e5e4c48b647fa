package lab

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/starttls"
)

// rehearsal is what a protocol's two halves, honest both, say to each other in
// memory. From it the lab takes its words: it knows no protocol by itself.
type rehearsal struct {
	protocol starttls.Protocol
	keyword  string             // by which TLS is offered, "" where it is no word
	goAhead  []byte             // the consent; nil where there is none to see
	turn     int                // how many messages the server says before it
	answers  []byte             // what is said inside TLS to who asks as we do
	hello    starttls.Hello     // what is offered inside TLS
	refusals map[refusal][]byte // the words for no, to our request
	client   []byte             // what our client says up to its request
}

type refusal starttls.OfferMode

const (
	refuseForever = refusal(starttls.Hide)    // as one that knows no TLS
	refuseForNow  = refusal(starttls.Decline) // as one that has none now
)

// marker is a word that is in no protocol's list of capabilities.
const marker = "XLAB"

var rehearsals sync.Map // by the name of the protocol

// rehearse returns the rehearsal of p, held once.
func rehearse(p starttls.Protocol) *rehearsal {
	held, _ := rehearsals.LoadOrStore(p.Info().Name, sync.OnceValue(func() *rehearsal { return newRehearsal(p) }))
	return held.(func() *rehearsal)()
}

func newRehearsal(p starttls.Protocol) *rehearsal {
	r := &rehearsal{protocol: p, refusals: map[refusal][]byte{}}
	honest := r.perform(starttls.Offer{Mode: starttls.Optional})
	r.goAhead, r.turn, r.client, r.answers, r.hello = honest.goAhead, honest.turn, honest.asked, honest.inside, honest.hello
	marked := r.perform(starttls.Offer{Mode: starttls.Optional, Keyword: marker})
	for i, c := range marked.before.Caps {
		if before, after, ok := strings.Cut(c, marker); ok && i < len(honest.before.Caps) {
			word := strings.TrimSuffix(strings.TrimPrefix(honest.before.Caps[i], before), after)
			if strings.Trim(word, `"`) == word {
				r.keyword = word
			}
		}
	}
	for _, kind := range []refusal{refuseForever, refuseForNow} {
		r.refusals[kind] = refuse(p, kind, r.client)
	}
	if len(r.refusals[refuseForever]) == 0 { // a half that hides TLS by being silent
		r.refusals[refuseForever] = r.refusals[refuseForNow]
	}
	return r
}

// scene is one performance: what was said before TLS, and inside.
type scene struct {
	before, hello starttls.Hello
	asked         []byte // all that the client said up to its request
	goAhead       []byte
	turn          int
	inside        []byte // all that the server said after that
}

// perform has both halves meet. There is no TLS between them: that there is, is
// what the wires claim.
func (r *rehearsal) perform(offer starttls.Offer) (s scene) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	a, b := net.Pipe()
	defer a.Close()
	heard, said := &recorder{Conn: a}, &recorder{Conn: b}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer b.Close()
	wg.Go(func() {
		defer b.Close()
		cfg := starttls.WireConfig{Side: starttls.ServerSide, ServerName: hostName, NoTranscript: true}
		cfg.OnGoAhead = func(msg []byte) []starttls.Segment {
			s.goAhead, s.turn = bytes.Clone(msg), said.count
			return []starttls.Segment{{Data: msg}}
		}
		w := starttls.NewWire(ctx, said, cfg)
		out, err := r.protocol.Server(w, starttls.Hello{}, offer)
		if err != nil || !out.TLS {
			return
		}
		w.Release()
		said.taken()
		cfg.TLS, cfg.Upgraded = true, true
		w = starttls.NewWire(ctx, said, cfg)
		defer w.Release()
		if r.protocol.Info().SpeaksAfterTLS {
			if _, err := r.protocol.Server(w, starttls.Hello{}, starttls.Offer{Mode: starttls.NoOffer}); err != nil {
				return
			}
		}
		if h, ok := r.protocol.(starttls.Host); ok {
			h.Serve(w, starttls.Hello{}, nil)
		}
	})
	cfg := starttls.WireConfig{ServerName: hostName, NoTranscript: true}
	w := starttls.NewWire(ctx, heard, cfg)
	var err error
	s.before, err = r.protocol.Client(w, starttls.Always)
	w.Release()
	s.asked = heard.taken()
	if err != nil {
		return s
	}
	if r.protocol.Info().EagerClient { // whose ClientHello is what the server waits for
		heard.Conn.Write([]byte("\x16\x03"))
	}
	cfg.TLS, cfg.Upgraded, cfg.Before = true, true, &s.before
	w = starttls.NewWire(ctx, heard, cfg)
	defer w.Release()
	if r.protocol.Info().SpeaksAfterTLS {
		s.hello, _ = r.protocol.Client(w, starttls.NoAsk)
	}
	if p, ok := r.protocol.(starttls.Settler); ok {
		p.Settle(w)
	}
	if p, ok := r.protocol.(starttls.Prober); ok {
		if h, err := p.Probe(w); err == nil {
			h.Auth = slices.Compact(append(h.Auth, s.hello.Auth...))
			s.hello = h
		}
	}
	s.inside = said.taken()
	return s
}

// refuse returns what the half of p says last to a client that said heard, if
// it will have no TLS.
func refuse(p starttls.Protocol, kind refusal, heard []byte) []byte {
	c := &recorder{Conn: scripted(heard)}
	w := starttls.NewWire(context.Background(), c, starttls.WireConfig{Side: starttls.ServerSide, ServerName: hostName, NoTranscript: true})
	defer w.Release()
	p.Server(w, starttls.Hello{}, starttls.Offer{Mode: starttls.OfferMode(kind)})
	return c.last
}

// recorder keeps what is written.
type recorder struct {
	net.Conn
	mu      sync.Mutex
	written []byte
	last    []byte
	count   int
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	r.written = append(r.written, b...)
	if len(b) > 0 {
		r.last = bytes.Clone(b)
	}
	r.count++
	r.mu.Unlock()
	return r.Conn.Write(b)
}

// taken returns what was written since it was called last.
func (r *recorder) taken() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.written
	r.written = nil
	return slices.Clip(out)
}

// script is a peer that says one thing and then nothing, and hears nothing.
type script struct{ io.Reader }

func scripted(b []byte) net.Conn { return script{bytes.NewReader(b)} }

func (script) Write(b []byte) (int, error)      { return len(b), nil }
func (script) Close() error                     { return nil }
func (script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (script) SetDeadline(time.Time) error      { return nil }
func (script) SetReadDeadline(time.Time) error  { return nil }
func (script) SetWriteDeadline(time.Time) error { return nil }
