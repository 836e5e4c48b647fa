package protocol

import (
	"slices"
	"strings"

	"example.org/starttls"
)

// Tests are those of RFC 4642, section 2.2, RFC 4643, section 2.3, and RFC 8054,
// section 2.2.2.
func (p nntp) Tests() []starttls.Test {
	l := lineTests{request: "STARTTLS", ask: askCode}
	badPassword := func(a lineAnswer) bool { return a.code == 481 && !a.wantsTLS() }
	return []starttls.Test{
		l.notRequired("AUTHINFO USER "+nobody(), ""), l.twice(), l.args(), groupKept(l), p.modeReader(),
		l.evaluated(badPassword, "AUTHINFO USER "+nobody(), "AUTHINFO PASS "+nobody()),
	}
}

// groupKept enters a group in clear, the first there is, and asks inside TLS
// where it is (RFC 4642, section 2.2.2).
func groupKept(l lineTests) starttls.Test {
	group := ""
	return starttls.Test{ID: "state-kept", Level: 2, Full: true,
		Before: func(w *starttls.Wire) (err error) {
			if group, err = firstGroup(w); err != nil {
				return err
			}
			a, err := askCode(w, "GROUP "+group)
			if err == nil && a.code != 211 {
				err = starttls.ErrNoObject
			}
			return err
		},
		Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			if err := l.alone(w); err != nil {
				return starttls.Verdict{}, err
			}
			a, err := l.ask(w, "STAT")
			switch {
			case err != nil:
				return starttls.Verdict{}, err
			case a.code == 223 || a.code == 420: // an article, or none in the group that is entered (RFC 3977, section 6.2.4)
				return fault("GROUP %s in clear holds inside TLS, where STAT is answered by %s", group, a)
			case a.code == 412:
				return sound("GROUP from before TLS is forgotten: %s", a)
			}
			return untold(a.text)
		}}
}

// firstGroup is the first group of the server's list.
func firstGroup(w *starttls.Wire) (group string, err error) {
	a, err := askCode(w, "LIST ACTIVE")
	if err != nil {
		return "", err
	}
	if a.code != 215 {
		return "", starttls.ErrNoObject
	}
	for {
		line, err := w.ReadLine()
		switch {
		case err != nil:
			return "", err
		case line == "." && group == "":
			return "", starttls.ErrNoObject
		case line == ".":
			return group, nil
		case group == "":
			group, _, _ = strings.Cut(line, " ")
		}
	}
}

// modeReader looks for MODE-READER among the capabilities inside TLS, where the
// command is not allowed (RFC 4642, section 2.2.2).
func (p nntp) modeReader() starttls.Test {
	return starttls.Test{ID: "mode-reader-in-tls", Level: 2, Full: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		h, err := p.Probe(w)
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case slices.Contains(h.Caps, "MODE-READER"):
			return fault("MODE-READER is listed inside TLS")
		}
		return sound("MODE-READER is not listed inside TLS")
	}}
}
