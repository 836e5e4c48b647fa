package protocol

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
)

// What the tests of several protocols share.

// fault and sound are verdicts.
func fault(format string, args ...any) (starttls.Verdict, error) {
	return starttls.Verdict{Fault: true, Detail: fmt.Sprintf(format, args...)}, nil
}

func sound(format string, args ...any) (starttls.Verdict, error) {
	return starttls.Verdict{Detail: fmt.Sprintf(format, args...)}, nil
}

// harmless is a fault that weighs nothing in the protocol.
func harmless(format string, args ...any) (starttls.Verdict, error) {
	return starttls.Verdict{Fault: true, Harmless: true, Detail: fmt.Sprintf(format, args...)}, nil
}

// untold is the error of a test that can not tell.
func untold(reply string) (starttls.Verdict, error) {
	return starttls.Verdict{}, errors.New("the answer tells nothing: " + starttls.Quote([]byte(reply)))
}

// nobody is a name that nobody bears, and a password that nobody has.
func nobody() string { return "x" + strings.ToLower(rand.Text()[:11]) }

// plainOfNobody is the message of SASL PLAIN that signs nobody in.
func plainOfNobody() string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + nobody() + "\x00" + nobody()))
}

// wantsTLS reports whether a refusal says that TLS is what is missing. No two
// servers have the same words for it.
func wantsTLS(reply string) bool {
	reply = strings.ToLower(reply)
	return slices.ContainsFunc([]string{"tls", "ssl", "encrypt", "secure", "plaintext", "plain text", "cleartext", "privacy", "confidential", "under a layer"}, func(word string) bool {
		return strings.Contains(reply, word)
	})
}

// lineAnswer is what a server made of lines answers a command.
type lineAnswer struct {
	kind answerKind
	code int // where there are codes
	text string
}

type answerKind int

const (
	no   answerKind = iota // refused
	more                   // go on: a password or a challenge's answer is asked for
	yes                    // done
)

// wantsTLS reports whether a refusal says that TLS is what is missing: by RFC
// 4954's code, RFC 4642's, or in words.
func (a lineAnswer) wantsTLS() bool { return a.code == 538 || a.code == 483 || wantsTLS(a.text) }

func (a lineAnswer) String() string { return starttls.Quote([]byte(a.text)) }

// lineTests makes tests of a protocol made of lines.
type lineTests struct {
	request string // for TLS
	ask     func(w *starttls.Wire, command string) (lineAnswer, error)
	// begin says what comes first in clear (EHLO), inside what comes first in
	// TLS. Nil: nothing does.
	begin, inside func(w *starttls.Wire) error
}

func (l lineTests) begun(w *starttls.Wire) error {
	if l.begin == nil {
		return nil
	}
	return l.begin(w)
}

// alone makes sure, inside TLS, that the next answer is that to the next
// command: that the server says nothing unasked. A command that nobody knows is
// refused.
func (l lineTests) alone(w *starttls.Wire) error {
	if l.inside != nil {
		if err := l.inside(w); err != nil {
			return err
		}
	}
	a, err := l.ask(w, "XPRB")
	if err == nil && a.kind != no {
		err = errors.New("a command that nobody knows is answered by " + a.String())
	}
	return err
}

// twice asks for TLS inside TLS.
func (l lineTests) twice() starttls.Test {
	return starttls.Test{ID: "starttls-twice", Level: 2, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if err := l.alone(w); err != nil {
			return starttls.Verdict{}, err
		}
		a, err := l.ask(w, l.request)
		return grantedInside(w, a.kind != no, a.String(), err)
	}}
}

// grantedInside is the verdict on a request for TLS inside TLS. A server that
// grants it and then does no more than say so has forgotten nothing.
func grantedInside(w *starttls.Wire, granted bool, reply string, err error) (starttls.Verdict, error) {
	switch {
	case err != nil:
		return starttls.Verdict{}, err
	case !granted:
		return sound("inside TLS the request for TLS is refused: %s", reply)
	case tls.Client(w.Conn(), &tls.Config{ServerName: w.ServerName(), InsecureSkipVerify: true}).Handshake() != nil:
		return harmless("inside TLS the request for TLS is answered by %s, and no second TLS begins", reply)
	}
	return fault("inside TLS the request for TLS is answered by %s, and a second TLS begins within the first", reply)
}

// askAgain asks for TLS inside TLS, where a client's half begins with the request.
func askAgain(p starttls.Protocol) starttls.Test {
	return starttls.Test{ID: "starttls-twice", Level: 2, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		_, err := p.Client(w, starttls.Always)
		return judgeAgain(w, err)
	}}
}

// judgeAgain judges how a client's half ended that asked for TLS inside TLS.
func judgeAgain(w *starttls.Wire, err error) (starttls.Verdict, error) {
	var refused *starttls.RefusedError
	if errors.As(err, &refused) || errors.As(err, new(*starttls.ReplyError)) {
		return grantedInside(w, false, err.Error(), nil)
	}
	return grantedInside(w, true, "consent", err)
}

// args asks for TLS with an argument.
func (l lineTests) args() starttls.Test {
	return starttls.Test{ID: "starttls-args", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if err := l.begun(w); err != nil {
			return starttls.Verdict{}, err
		}
		a, err := l.ask(w, l.request+" x")
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case a.kind != no:
			return fault("%q is answered by %s", l.request+" x", a)
		}
		return sound("%q is refused: %s", l.request+" x", a)
	}}
}

// notRequired says in clear how a session or a sign-in begins, without a
// credential. abort takes it back, where that is polite.
func (l lineTests) notRequired(command, abort string) starttls.Test {
	return starttls.Test{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if err := l.begun(w); err != nil {
			return starttls.Verdict{}, err
		}
		a, err := l.ask(w, command)
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case a.kind != no:
			if abort != "" {
				w.WriteLine(abort)
			}
			return fault("%q in clear is answered by %s", command, a)
		case a.wantsTLS():
			return sound("%q in clear is refused: %s", command, a)
		}
		return untold(a.text)
	}}
}

// evaluated signs in with a random name and password, in clear. A refusal of a
// command before the last one, which holds the password, is good; so is one of
// the last that evaluated does not hold for one of the password.
func (l lineTests) evaluated(evaluated func(lineAnswer) bool, commands ...string) starttls.Test {
	return starttls.Test{ID: "auth-cleartext", Level: 3, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if err := l.begun(w); err != nil {
			return starttls.Verdict{}, err
		}
		for i, command := range commands {
			a, err := l.ask(w, command)
			word, _ := verb(command)
			switch last := i == len(commands)-1; {
			case err != nil:
				return starttls.Verdict{}, err
			case last && (a.kind == yes || a.kind == no && evaluated(a)):
				return fault("random credentials in clear are answered by %s", a)
			case last && a.kind == more:
				return untold(a.text)
			case a.kind == no:
				return sound("%s in clear is refused: %s", word, a)
			}
		}
		return starttls.Verdict{}, starttls.ErrNoObject
	}}
}

// unlike signs in likewise where refusals do not say what they are of: one of
// credentials differs from that of a mechanism that nobody has. Nothing else
// comes first in such a protocol.
func (l lineTests) unlike(unknown, command string) starttls.Test {
	var other lineAnswer
	l.begin = func(w *starttls.Wire) (err error) {
		other, err = l.ask(w, unknown)
		return err
	}
	return l.evaluated(func(a lineAnswer) bool {
		return a.text != other.text && strings.Contains(" "+a.text, " NO ") && !a.wantsTLS() && !strings.Contains(a.text, "-TOO-WEAK")
	}, command)
}

// saslHalf begins a sign-in by SASL, and says the request for TLS in the place of
// the answer to the challenge.
func (l lineTests) saslHalf(command string) starttls.Test {
	return starttls.Test{ID: "sasl-half", Level: 3, Full: true,
		Before: func(w *starttls.Wire) error {
			a, err := l.ask(w, command)
			if err == nil && a.kind != more {
				err = starttls.ErrNoObject
			}
			return err
		},
		Run: func(*starttls.Wire) (starttls.Verdict, error) {
			return fault("behind %q, in the place of an answer, %s is obeyed", command, l.request)
		}}
}

// userKept names a user in clear and gives a password inside TLS, twice: where
// the first is not answered as the second, which has no user before it, the user
// was kept. Neither exists.
func (l lineTests) userKept(evaluated func(lineAnswer) bool) starttls.Test {
	return starttls.Test{ID: "state-kept", Level: 3, Full: true,
		Before: func(w *starttls.Wire) error {
			a, err := l.ask(w, "USER "+nobody())
			if err == nil && a.kind == no {
				err = starttls.ErrNoObject
			}
			return err
		},
		Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			if err := l.alone(w); err != nil {
				return starttls.Verdict{}, err
			}
			first, err := l.ask(w, "PASS "+nobody())
			if err != nil {
				return starttls.Verdict{}, err
			}
			second, err := l.ask(w, "PASS "+nobody())
			switch {
			case err != nil:
				return starttls.Verdict{}, err
			case first == second || !evaluated(first):
				return sound("inside TLS, USER from before it is forgotten: %s", first)
			case evaluated(second):
				return untold(first.text)
			}
			return fault("USER in clear and PASS inside TLS are taken together: %s, and with no USER before it %s", first, second)
		}}
}
