package protocol

import (
	"errors"

	"example.org/starttls"
)

// Tests begin a sign-in in clear, and go no further.
func (p mysqlx) Tests() []starttls.Test {
	return []starttls.Test{
		{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			if _, err := w.Write(xMessage(xAuth, pbBytes(1, []byte("MYSQL41")))); err != nil {
				return starttls.Verdict{}, err
			}
			kind, _, err := xAnswer(w)
			var refused *starttls.RefusedError
			switch {
			case errors.As(err, &refused) && wantsTLS(refused.Text):
				return sound("a sign-in in clear is refused: %s", starttls.Quote([]byte(refused.Text)))
			case errors.As(err, &refused):
				return untold(refused.Text)
			case err != nil:
				return starttls.Verdict{}, err
			case kind != xAuthAsk:
				return untold("")
			}
			return fault("a sign-in in clear goes on to its challenge")
		}},
		askAgain(p),
	}
}
