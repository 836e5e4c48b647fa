package protocol

import (
	"strings"

	"example.org/starttls"
)

// askNUT asks NUT.
func askNUT(w *starttls.Wire, command string) (lineAnswer, error) {
	if err := writeLF(w, command); err != nil {
		return lineAnswer{}, err
	}
	line, err := w.ReadLine()
	a := lineAnswer{text: line}
	if strings.HasPrefix(line, "OK") {
		a.kind = yes
	}
	return a, err
}

// Tests are those of RFC 9271, section 4.2.
func (nut) Tests() []starttls.Test {
	l := lineTests{request: "STARTTLS", ask: askNUT}
	return []starttls.Test{nutSignIn(l), l.twice(), l.args()}
}

// nutSignIn names a user in clear. upsd can not be told to require TLS.
func nutSignIn(l lineTests) starttls.Test {
	return starttls.Test{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		a, err := l.ask(w, "USERNAME "+nobody())
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case a.kind == yes:
			return harmless("a sign-in in clear goes on: %s", a)
		}
		return sound("a sign-in in clear is refused: %s", a)
	}}
}
