package protocol

import (
	"fmt"
	"strings"

	"example.org/starttls"
)

// askTagged asks a protocol whose commands have tags. What is said untagged is
// read over; "+" asks for more.
func askTagged(w *starttls.Wire, command string) (lineAnswer, error) {
	const tag = "q1"
	if err := w.WriteLine(tag + " " + command); err != nil {
		return lineAnswer{}, err
	}
	for {
		line, err := w.ReadLine()
		if err != nil {
			return lineAnswer{}, err
		}
		rest, ours := strings.CutPrefix(line, tag+" ")
		switch {
		case ours && imapOK(rest):
			return lineAnswer{kind: yes, text: line}, nil
		case strings.HasPrefix(line, "+"):
			return lineAnswer{kind: more, text: line}, nil
		case ours, strings.HasPrefix(line, "* BYE"):
			return lineAnswer{text: line}, nil
		case !strings.HasPrefix(line, "* "):
			return lineAnswer{}, &starttls.ReplyError{Expected: "a reply tagged " + tag, Reply: []byte(line)}
		}
		if err := imapDropLiterals(w, line, false); err != nil {
			return lineAnswer{}, err
		}
	}
}

// evaluatedIMAP reports whether a refusal is one of the credentials, and says so
// (RFC 5530, section 3). One that gives no reason can have any.
func evaluatedIMAP(a lineAnswer) bool {
	return strings.Contains(a.text, "[AUTHENTICATIONFAILED]") || strings.Contains(a.text, "[AUTHORIZATIONFAILED]")
}

// Tests are those of RFC 9051, sections 6.2.1, 6.2.3 and 11.
func (imap) Tests() []starttls.Test {
	l := lineTests{request: "STARTTLS", ask: askTagged}
	return []starttls.Test{
		l.notRequired("AUTHENTICATE PLAIN", "*"), l.twice(), l.args(), l.saslHalf("AUTHENTICATE PLAIN"),
		l.evaluated(evaluatedIMAP, fmt.Sprintf("LOGIN %s %s", nobody(), nobody())),
		l.accepted("compress-clear", "COMPRESS DEFLATE"), passwordInvited(l),
	}
}

// accepted says in clear, and before a sign-in, what must not be obeyed there.
func (l lineTests) accepted(id, command string) starttls.Test {
	return starttls.Test{ID: id, Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if err := l.begun(w); err != nil {
			return starttls.Verdict{}, err
		}
		a, err := l.ask(w, command)
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case a.kind == yes:
			return fault("%q in clear is answered by %s", command, a)
		}
		return sound("%q in clear is refused: %s", command, a)
	}}
}

// passwordInvited announces a password in clear as a literal, for which the
// server must not ask if it will not have one (RFC 9051, section 4.3). None is
// sent.
func passwordInvited(l lineTests) starttls.Test {
	return starttls.Test{ID: "password-invited", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		a, err := l.ask(w, "LOGIN "+nobody()+" {12}")
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case a.kind == more:
			return fault("the server asks for a password in clear: %s", a)
		}
		return sound("no password is asked for: %s", a)
	}}
}

// Tests are those of RFC 2595, section 5, and RFC 3656, section 4.10.
func (p tagged) Tests() []starttls.Test {
	l := lineTests{request: "STARTTLS", ask: askTagged, inside: func(w *starttls.Wire) error {
		_, err := p.Client(w, starttls.NoAsk)
		return err
	}}
	return []starttls.Test{
		l.notRequired(`AUTHENTICATE "PLAIN"`, `"*"`), l.twice(), l.args(), l.saslHalf(`AUTHENTICATE "PLAIN"`),
		l.unlike(`AUTHENTICATE "XPRB" "`+plainOfNobody()+`"`, `AUTHENTICATE "PLAIN" "`+plainOfNobody()+`"`),
	}
}
