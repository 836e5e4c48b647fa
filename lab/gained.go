package lab

import (
	"bytes"
	"slices"
	"time"

	"example.org/starttls"
)

// gained is what a session had of its client.
type gained struct {
	bytes    int    // that the client sent at all
	asked    bool   // it asked for TLS
	upgraded bool   // the handshake ended well
	inside   int    // messages that the client sent inside TLS
	leaks    []Leak // in the order they came
	further  int    // messages said in clear after the lie, and no leaks
	believed string // what it took from cleartext into TLS, in words
	stale    string // by what it learned in clear it went inside TLS, in words
	late     bool   // it went on inside TLS before its first answer came
	signedIn bool   // inside TLS that was sound
}

// leak notes what the client gave away.
func (s *session) leak(l starttls.Leak, tls bool) {
	if s.onUser != nil && l.User != "" {
		s.onUser(l.User)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lie.reject != nil && tls && l.What == "sign-in" {
		if why := s.lie.reject(l.Mechanism); why != "" {
			s.got.stale = why
		}
	}
	if tls && !s.lie.refusable {
		s.got.signedIn = s.got.signedIn || l.What == "sign-in" || l.What == "content"
		return
	}
	s.got.leaks = append(s.got.leaks, newLeak(l, tls))
}

// keep adds a wire's transcript, with what c has said in the place of what it was
// given to say.
func (s *session) keep(t starttls.Transcript, c *liar) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range t {
		if e.From == starttls.ServerSide {
			n++
			if instead, ok := c.instead[n]; ok {
				e.Data = instead
			}
		}
		s.transcript = append(s.transcript, e)
	}
}

// say puts a remark of the lab's own into the transcript.
func (s *session) say(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transcript = append(s.transcript, starttls.Entry{Time: time.Now().UTC(), From: starttls.ServerSide, TLS: true, Data: []byte("(" + what + ")")})
}

func (s *session) result() gained {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

// overhear looks for what the client gives away in words that no session
// understands, and for what it can only know from a lie.
func (s *session) overhear(b, heard []byte, tls bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got.bytes += len(b)
	if tls {
		s.got.inside++
	}
	for _, word := range s.lie.tells {
		if tls && bytes.Contains(heard, []byte(word)) {
			s.got.believed = "it said " + word + " inside TLS"
		}
	}
	if tls && !s.lie.refusable {
		return
	}
	if secret := s.bait.in(heard); secret && !slices.ContainsFunc(s.got.leaks, func(l Leak) bool { return l.TLS == tls && l.What == "sign-in" }) {
		l := newLeak(starttls.Leak{What: "sign-in", Mechanism: "seen on the wire", User: s.bait.User, Secret: []byte(s.bait.Password)}, tls)
		s.got.leaks = append(s.got.leaks, l)
	}
}
