package protocol

import (
	"slices"
	"strings"

	"example.org/starttls"
)

// What the servers' halves of several protocols do alike about an Offer.

// offers reports whether TLS is advertised.
func offers(o starttls.Offer) bool {
	return o.Mode == starttls.Grant || o.Mode == starttls.Decline || o.Mode == starttls.Optional
}

// capsBefore is what is advertised in cleartext: caps without the keyword for
// TLS and without sign-in, and the keyword where TLS is offered.
func capsBefore(caps []string, o starttls.Offer, keyword string) []string {
	var out []string
	for _, c := range caps {
		if name, _ := verb(c); !strings.EqualFold(name, keyword) && name != "AUTH" {
			out = append(out, c)
		}
	}
	if offers(o) {
		out = append(out, or(o.Keyword, keyword))
	}
	return out
}

// signsInClear reports whether signing in is advertised before TLS: only by one
// who says how, where TLS is not required.
func signsInClear(h starttls.Hello, o starttls.Offer) bool {
	return len(h.Auth) > 0 && (o.Mode == starttls.Hide || o.Mode == starttls.Optional)
}

// capsInside is what is advertised inside TLS, or in clear where there is none:
// caps without the keyword for TLS.
func capsInside(caps []string, keyword string) []string {
	return slices.DeleteFunc(slices.Clone(caps), func(c string) bool {
		name, _ := verb(c)
		return strings.EqualFold(name, keyword)
	})
}

// override is the reply to the request for TLS: the offer's own, if it has one.
// The line end is left to the caller.
func override(o starttls.Offer, reply string) string {
	if len(o.Reply) > 0 {
		return strings.TrimSuffix(string(o.Reply), "\r\n")
	}
	return reply
}

// appendNew appends what is not in s by now.
func appendNew(s []string, more ...string) []string {
	for _, m := range more {
		if !slices.Contains(s, m) {
			s = append(s, m)
		}
	}
	return s
}

// serveLines is the loop of a line protocol's half before TLS. Each command is
// answered by answer, which reports whether TLS is next. Where TLS is not
// required, the loop ends at the first command of the session, unread.
func serveLines(w *starttls.Wire, offer starttls.Offer, session func(name string) bool, answer func(name, arg, line string) (bool, error)) (bool, error) {
	for {
		line, err := w.PeekLine()
		if err != nil {
			return false, err
		}
		name, arg := verb(line)
		if session(name) && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional) {
			return false, nil
		}
		if _, err := w.ReadLine(); err != nil {
			return false, err
		}
		if tls, err := answer(name, arg, line); tls || err != nil {
			return tls, err
		}
	}
}

// refuseLine refuses a command; it has the shape of an answer of serveLines.
func refuseLine(w *starttls.Wire, reply string) (bool, error) {
	if err := w.WriteLine(reply); err != nil {
		return false, err
	}
	return false, w.Refused()
}
