package protocol

import (
	"slices"

	"example.org/starttls"
)

// Tests are those of RFC 4217, sections 4, 6, 9 and 12.
func (p ftp) Tests() []starttls.Test {
	l := lineTests{request: "AUTH TLS", ask: askCode}
	badPassword := func(a lineAnswer) bool { return a.code == 530 && !a.wantsTLS() }
	return []starttls.Test{
		l.notRequired("USER "+nobody(), ""), l.twice(), l.args(),
		l.evaluated(badPassword, "USER "+nobody(), "PASS "+nobody()),
		l.userKept(func(a lineAnswer) bool { return a.kind == yes || slices.Contains([]int{430, 530, 332}, a.code) }),
		ftpAlias(l), ftpInTLS(l, "prot-no-pbsz", "PROT P"), ftpInTLS(l, "prot-clear", "PBSZ 0", "PROT C"), ftpInTLS(l, "ccc", "CCC"),
	}
}

// ftpAlias asks for TLS by its name from before RFC 4217.
func ftpAlias(l lineTests) starttls.Test {
	return starttls.Test{ID: "auth-alias", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		a, err := l.ask(w, "AUTH SSL")
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case a.kind != no:
			return fault("AUTH SSL is answered by %s", a)
		}
		return sound("AUTH SSL is refused: %s", a)
	}}
}

// ftpInTLS says commands inside TLS, before a sign-in; the last of them should
// be refused.
func ftpInTLS(l lineTests, id string, commands ...string) starttls.Test {
	return starttls.Test{ID: id, Level: 2, Full: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if err := l.alone(w); err != nil {
			return starttls.Verdict{}, err
		}
		for i, command := range commands {
			a, err := l.ask(w, command)
			switch {
			case err != nil:
				return starttls.Verdict{}, err
			case a.kind == no && i < len(commands)-1:
				return starttls.Verdict{}, starttls.ErrNoObject
			case a.kind == no:
				return sound("%s is refused: %s", command, a)
			case i == len(commands)-1:
				return fault("%s is answered by %s", command, a)
			}
		}
		return starttls.Verdict{}, starttls.ErrNoObject
	}}
}
