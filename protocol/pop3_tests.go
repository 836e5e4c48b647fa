package protocol

import (
	"strings"

	"example.org/starttls"
)

// askPOP asks POP3. "+ " asks for more.
func askPOP(w *starttls.Wire, command string) (lineAnswer, error) {
	if err := w.WriteLine(command); err != nil {
		return lineAnswer{}, err
	}
	line, err := w.ReadLine()
	if err != nil {
		return lineAnswer{}, err
	}
	if strings.HasPrefix(line, "+ ") || line == "+" {
		return lineAnswer{kind: more, text: line}, nil
	}
	a := lineAnswer{text: line}
	name, _ := verb(command)
	ok, _, err := popStatus(line, "a reply to "+name)
	if ok {
		a.kind = yes
	}
	return a, err
}

// Tests are those of RFC 2595, section 4.
func (p pop3) Tests() []starttls.Test {
	l := lineTests{request: "STLS", ask: askPOP}
	refused := func(a lineAnswer) bool { return !a.wantsTLS() }
	return []starttls.Test{
		l.notRequired("USER "+nobody(), ""), l.twice(), l.args(), l.saslHalf("AUTH PLAIN"),
		l.evaluated(refused, "USER "+nobody(), "PASS "+nobody()),
		l.userKept(func(a lineAnswer) bool { return strings.Contains(a.text, "[AUTH]") || a.kind == yes }),
		p.noCapa(l), p.apop(l),
	}
}

// noCapa looks for the list that must say whether there is STLS (RFC 2595,
// section 4).
func (p pop3) noCapa(l lineTests) starttls.Test {
	return starttls.Test{ID: "capa-missing", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		a, err := l.ask(w, "CAPA")
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case a.kind == no:
			return fault("CAPA is refused: %s", a)
		}
		return sound("CAPA is answered")
	}}
}

// apop signs in as nobody by APOP, whose digest keeps the password from no one
// who listens and has a little time (RFC 6151, section 2), and the messages from
// nobody.
func (p pop3) apop(l lineTests) starttls.Test {
	return starttls.Test{ID: "apop-clear", Level: 3, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if greeting := string(w.Before().Greeting); !strings.Contains(greeting, "<") || !strings.Contains(greeting, "@") {
			return starttls.Verdict{}, starttls.ErrNoObject
		}
		a, err := l.ask(w, "APOP "+nobody()+" "+strings.Repeat("0123456789abcdef", 2))
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case a.kind == yes || a.kind == no && strings.Contains(a.text, "[AUTH]") && !a.wantsTLS():
			return fault("a digest in clear is answered by %s", a)
		}
		return sound("APOP in clear is refused: %s", a)
	}}
}
