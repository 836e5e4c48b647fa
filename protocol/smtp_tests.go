package protocol

import (
	"slices"

	"example.org/starttls"
)

// askCode asks a protocol whose answers have codes (lines.go).
func askCode(w *starttls.Wire, command string) (lineAnswer, error) {
	var r codeReply
	err := r.ask(w, command)
	return r.answer(), err
}

func (r codeReply) answer() lineAnswer {
	a := lineAnswer{code: r.code, text: string(r.raw)}
	switch {
	case r.code < 300:
		a.kind = yes
	case r.code < 400:
		a.kind = more
	}
	return a
}

// Tests are those of RFC 3207, section 4 and 4.2, and of RFC 4954.
func (p smtp) Tests() []starttls.Test {
	l := lineTests{request: "STARTTLS", ask: askCode, begin: func(w *starttls.Wire) error {
		var h starttls.Hello
		return p.capabilities(w, &h)
	}}
	inClear := l.notRequired("MAIL FROM:<>", "RSET")
	switch {
	case p.info.MX:
		inClear = p.mxRequires(l)
	case p.lmtp:
		inClear.Run = excused(inClear.Run)
	}
	badPassword := func(a lineAnswer) bool { return a.code == 535 && !a.wantsTLS() }
	return []starttls.Test{
		inClear, l.twice(), l.args(), p.listed("requiretls-in-clear", "REQUIRETLS"), p.listed("xclient", "XCLIENT"), mailKept(l),
		l.evaluated(badPassword, "AUTH PLAIN "+plainOfNobody()), l.saslHalf("AUTH PLAIN"),
	}
}

// excused makes a fault harmless: LMTP is spoken within a site, and servers can
// not be told to require TLS in it.
func excused(run func(*starttls.Wire) (starttls.Verdict, error)) func(*starttls.Wire) (starttls.Verdict, error) {
	return func(w *starttls.Wire) (starttls.Verdict, error) {
		v, err := run(w)
		v.Harmless = v.Fault
		return v, err
	}
}

// mxRequires is about a public mail exchanger, which must take mail from those
// who have no TLS (RFC 3207, section 4).
func (p smtp) mxRequires(l lineTests) starttls.Test {
	return starttls.Test{ID: "mx-requires-tls", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if err := l.begin(w); err != nil {
			return starttls.Verdict{}, err
		}
		a, err := l.ask(w, "MAIL FROM:<>")
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case a.code == 250:
			w.WriteLine("RSET")
			return sound("mail is taken in clear: %s", a)
		case a.wantsTLS():
			return fault("MAIL in clear is refused: %s", a)
		}
		return untold(a.text)
	}}
}

// listed looks for a keyword among what is listed in clear.
func (p smtp) listed(id, keyword string) starttls.Test {
	return starttls.Test{ID: id, Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		var h starttls.Hello
		if err := p.capabilities(w, &h); err != nil {
			return starttls.Verdict{}, err
		}
		i := slices.IndexFunc(h.Caps, func(c string) bool { name, _ := verb(c); return name == keyword })
		if i < 0 {
			return sound("%s is not listed in clear", keyword)
		}
		return fault("the server lists %q in clear", h.Caps[i])
	}}
}

// mailKept names a sender in clear and a recipient inside TLS, who must be
// refused for want of a sender (RFC 3207, section 4.2). So must another, behind a
// reset; answered alike, nothing was kept.
func mailKept(l lineTests) starttls.Test {
	return starttls.Test{ID: "state-kept", Level: 3,
		Before: func(w *starttls.Wire) error {
			a, err := askCode(w, "MAIL FROM:<>")
			if err == nil && a.kind == no {
				err = starttls.ErrNoObject
			}
			return err
		},
		Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			if err := l.alone(w); err != nil {
				return starttls.Verdict{}, err
			}
			var answers [3]lineAnswer
			for i, command := range []string{"RCPT TO:<postmaster>", "RSET", "RCPT TO:<postmaster>"} {
				var err error
				if answers[i], err = askCode(w, command); err != nil {
					return starttls.Verdict{}, err
				}
			}
			first, second := answers[0], answers[2]
			switch {
			case first.code == 503 || first.kind == no && first.code == second.code:
				return sound("MAIL from before TLS is forgotten: %s", first)
			case second.code == 503 || first.kind == yes && second.kind == no:
				return fault("MAIL in clear and RCPT inside TLS are taken together: %s, and with no MAIL before it %s", first, second)
			}
			return untold(first.text)
		}}
}
