package protocol

import (
	"errors"
	"strings"

	"example.org/starttls"
)

// askSieve asks ManageSieve. A string is a challenge, and asks for more.
func askSieve(w *starttls.Wire, command string) (lineAnswer, error) {
	if err := w.WriteLine(command); err != nil {
		return lineAnswer{}, err
	}
	line, err := w.ReadLine()
	if err != nil {
		return lineAnswer{}, err
	}
	a := lineAnswer{text: line}
	if strings.HasPrefix(line, `"`) || strings.HasPrefix(line, "{") {
		a.kind = more
		return a, nil
	}
	err = sieveStatus(line, "OK, NO or a challenge")
	if err == nil {
		a.kind = yes
	} else if errors.As(err, new(*starttls.RefusedError)) {
		err = nil
	}
	return a, err
}

// Tests are those of RFC 5804, sections 2.1 and 2.2.
func (p sieve) Tests() []starttls.Test {
	l := lineTests{request: "STARTTLS", ask: askSieve, inside: func(w *starttls.Wire) error {
		_, err := p.Client(w, starttls.NoAsk)
		return err
	}}
	return []starttls.Test{
		l.notRequired(`AUTHENTICATE "PLAIN"`, `"*"`), l.twice(), l.args(), l.saslHalf(`AUTHENTICATE "PLAIN"`),
		l.unlike(`AUTHENTICATE "XPRB" "`+plainOfNobody()+`"`, `AUTHENTICATE "PLAIN" "`+plainOfNobody()+`"`),
	}
}
