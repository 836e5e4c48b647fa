package lab

import (
	"bytes"
	"crypto/tls"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/starttls"
)

// lie is how a server treats one connection. The zero lie is an honest server
// that offers TLS without insisting on it, as one that an attacker wants clients
// to sign in to would.
type lie struct {
	mode    starttls.OfferMode                           // Optional but for the honest case
	keyword func(word string) string                     // how the offer of TLS is spelled
	hello   func(*starttls.Hello)                        // what is said of itself before TLS
	open    func(r *rehearsal) []byte                    // said before all else
	reply   func(*rehearsal, said) []byte                // said in the place of each message
	goAhead func(*rehearsal, request) []starttls.Segment // said in the place of the consent

	hangUp      bool                                // at the request
	patience    time.Duration                       // how long the connection is kept; 0: the limit
	shake       func(s *session, nc net.Conn) error // in the place of the handshake, unless it returns nil
	tls         func(*pki) (*tls.Config, error)     // what the handshake is held with; nil: all is sound
	refusable   bool                                // TLS that a client must refuse
	helloInside func(*starttls.Hello)               // what is offered inside TLS
	reject      func(mechanism string) string       // why a sign-in by it goes by what was said in clear
	withhold    bool                                // the first answer inside TLS comes late
	closeTLS    bool                                // TLS ends after the client's first words
	glues       bool                                // who gets nowhere inside TLS has fallen for it
	tells       []string                            // what shows inside TLS who fell for it
}

// said is a message that the honest server would say: whether inside TLS, the
// how manieth on this connection, and what the client had said before.
type said struct {
	tls         bool
	turn        int
	heard, text []byte
}

// request is a client's request for TLS.
type request struct {
	history []byte // all that the client has said
	heard   []byte // since the server said something last
	consent []byte // what an honest server would answer
}

// whole is one segment.
func whole(parts ...[]byte) []starttls.Segment {
	return []starttls.Segment{{Data: slices.Concat(parts...)}}
}

// no answers the request with the protocol's own words for no.
func no(kind refusal) func(*rehearsal, request) []starttls.Segment {
	return func(r *rehearsal, q request) []starttls.Segment { return whole(r.refuse(kind, q.history)) }
}

// refuse is the refusal of a client that has said history, or else of our own.
func (r *rehearsal) refuse(kind refusal, history []byte) []byte {
	if b := refuse(r.protocol, kind, history); len(b) > 0 {
		return b
	}
	return r.refusals[kind]
}

// spelled keeps the offer, with another word.
func spelled(f func(word string) string) lie {
	return lie{mode: starttls.Optional, keyword: f}
}

// needsWord is the reason where TLS is offered by no word.
func needsWord(r *rehearsal) string {
	switch {
	case r.protocol.Info().Unadvertised:
		return "TLS is not advertised: there is no word to change"
	case r.keyword == "":
		return "TLS is offered by a bit or a number, not by a word"
	}
	return ""
}

// needsGoAhead is the reason where no consent is said.
func needsGoAhead(r *rehearsal) string {
	if len(r.goAhead) == 0 {
		return "the server gives no consent in clear: the handshake follows the request at once"
	}
	return ""
}

// needsOffer is the reason where nothing can be hidden.
func needsOffer(r *rehearsal) string {
	if r.protocol.Info().Unadvertised {
		return "TLS is not advertised: hiding it is refusing it (error-perm)"
	}
	return ""
}

// odd turns a consent into a reply that is none, by its shape: another code,
// another word, another byte.
func odd(kind int) lie {
	return lie{mode: starttls.Optional, goAhead: func(_ *rehearsal, q request) []starttls.Segment { return whole(oddly(q.consent, kind)) }}
}

// The kinds of odd replies.
const (
	oddOther = iota // the server's usual yes to something else
	oddMore         // "go on"
	oddWord         // the right word with a tail
	oddCode         // a code that does not exist
	oddBare         // the code or word alone
	oddEmpty        // an empty line
)

func oddly(msg []byte, kind int) []byte {
	text := string(msg)
	at, n := codeAt(text)
	switch {
	case at < 0: // no text
		b := bytes.Clone(msg)
		b[len(b)-1] ^= byte(1 + kind)
		return b
	case kind == oddEmpty:
		return []byte(text[len(text)-lineEnd(text):])
	case kind == oddBare:
		return []byte(text[:at+n] + text[len(text)-lineEnd(text):])
	case kind == oddWord:
		return []byte(text[:at+n] + "ay" + text[at+n:])
	}
	codes := []string{"250", "354", "", "999"}
	words := []string{"STUFF", "CONTINUE", "", "YES"}
	if text[at] >= '0' && text[at] <= '9' {
		return []byte(text[:at] + codes[kind] + text[at+n:])
	}
	return []byte(text[:at] + words[kind] + text[at+n:])
}

// lineEnd is the length of the line end that closes s.
func lineEnd(s string) int { return len(s) - len(strings.TrimRight(s, "\r\n")) }

// codeAt finds the code of three digits, or the word OK, in a line of text. at
// is negative where msg is not a line.
func codeAt(msg string) (at, n int) {
	if lineEnd(msg) == 0 {
		return -1, 0
	}
	for at := 0; at+3 <= len(msg); at++ {
		if at > 0 && msg[at-1] != ' ' {
			continue
		}
		if _, err := strconv.ParseUint(msg[at:at+3], 10, 16); err == nil {
			return at, 3
		}
	}
	if at := strings.Index(msg, "OK"); at >= 0 {
		return at, 2
	}
	return -1, 0
}

// beforeRequest reports whether the message is the last before the client asks
// for TLS: the one with the offer in it.
func (r *rehearsal) beforeRequest(m said) bool {
	if r.keyword != "" {
		return !m.tls && bytes.Contains(m.text, []byte(r.keyword))
	}
	return !m.tls && m.turn == r.turn
}

// early says the consent before the client has asked for it.
func early() lie {
	l := lie{mode: starttls.Optional}
	l.open = func(r *rehearsal) []byte {
		if r.turn == 0 {
			return r.goAhead
		}
		return nil
	}
	l.reply = func(r *rehearsal, m said) []byte {
		if r.turn > 0 && r.beforeRequest(m) {
			return slices.Concat(m.text, r.goAhead)
		}
		return m.text
	}
	l.goAhead = func(*rehearsal, request) []starttls.Segment { return nil }
	return l
}

// flood follows each message before TLS with what no client should swallow.
func flood(more func() []byte) lie {
	return lie{mode: starttls.Optional, reply: func(r *rehearsal, m said) []byte {
		if !m.tls && m.turn == 1 {
			return slices.Concat(more(), m.text)
		}
		return m.text
	}}
}

// alert is a fatal TLS alert.
func alert(description byte) func(*session, net.Conn) error {
	return instead([]byte{0x15, 3, 3, 0, 2, 2, description})
}

// instead says something in the place of the handshake, and hears what the
// client does then.
func instead(b []byte) func(*session, net.Conn) error {
	return func(s *session, nc net.Conn) error { return s.insteadOfHandshake(nc, b) }
}
