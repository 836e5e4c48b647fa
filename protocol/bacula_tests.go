package protocol

import (
	"errors"

	"example.org/starttls"
)

// Tests call as a console that has no TLS.
func (bacula) Tests() []starttls.Test {
	return []starttls.Test{{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if _, err := w.Write(baculaHello(0)); err != nil {
			return starttls.Verdict{}, err
		}
		_, err := readBaculaChallenge(w)
		var refused *starttls.RefusedError
		switch {
		case errors.As(err, &refused):
			return sound("a console without TLS is turned away: %s", starttls.Quote(refused.Reply))
		case err != nil:
			return starttls.Verdict{}, err
		}
		return fault("a console without TLS is asked to sign in")
	}}}
}
