package protocol

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"

	"example.org/starttls"
)

// Tests are about what PostgreSQL's protocol says of SSL session encryption.
func (p postgresql) Tests() []starttls.Test {
	return []starttls.Test{pgNotRequired(), askAgain(p), pgPasswordInClear(), pgWithoutALPN()}
}

// pgStart begins a session as a user that does not exist and reads what comes of
// it: an error, or the ways to sign in.
func pgStart(w *starttls.Wire) (refusal string, methods []string, err error) {
	name := nobody()
	if _, err := w.Write(pgFirst(pgVersion3, []byte("user\x00"+name+"\x00database\x00postgres\x00\x00"))); err != nil {
		return "", nil, err
	}
	switch kind, body, err := readPG(w); {
	case err != nil:
		return "", nil, err
	case kind == 'E':
		return pgErrorText(body), nil, nil
	case kind == 'R':
		return "", pgMethods(body), nil
	default:
		return "", nil, &starttls.ReplyError{Expected: "a question for the password", Reply: append([]byte{kind}, body...)}
	}
}

// pgNotRequired begins a session in clear.
func pgNotRequired() starttls.Test {
	return starttls.Test{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		refusal, methods, err := pgStart(w)
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case refusal == "":
			return fault("a session in clear is let in as far as to the sign-in, by %s", strings.Join(methods, " "))
		case wantsTLS(refusal):
			return sound("a session in clear is refused: %s", starttls.Quote([]byte(refusal)))
		}
		return untold(refusal)
	}}
}

// pgPasswordInClear looks whether the sign-in that is asked for in clear is one
// that sends the password itself.
func pgPasswordInClear() starttls.Test {
	return starttls.Test{ID: "auth-cleartext", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		refusal, methods, err := pgStart(w)
		method := strings.Join(methods, " ")
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case method == "PASSWORD":
			return fault("in clear the server asks for the password itself (AuthenticationCleartextPassword)")
		case refusal != "":
			return sound("a session in clear is refused: %s", starttls.Quote([]byte(refusal)))
		}
		return sound("in clear the server does not ask for the password itself, but for %s", method)
	}}
}

// pgWithoutALPN begins with TLS at once, and with no name for the protocol in
// it, without which the server must not go on (version 17 and later).
func pgWithoutALPN() starttls.Test {
	return starttls.Test{ID: "direct-no-alpn", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		tc := tls.Client(w.Conn(), &tls.Config{ServerName: w.ServerName(), InsecureSkipVerify: true})
		err := tc.Handshake()
		if err == nil { // who ends TLS over the missing name does so behind the handshake, too
			_, err = tc.Write(pgFirst(pgVersion3, []byte("user\x00"+nobody()+"\x00\x00")))
		}
		if err == nil {
			_, err = io.ReadFull(tc, make([]byte, 1))
		}
		var timeout interface{ Timeout() bool }
		switch {
		case err == nil:
			return fault("a session that begins with TLS needs no protocol name in it (ALPN)")
		case errors.As(err, &timeout) && timeout.Timeout():
			return starttls.Verdict{}, err
		}
		return sound("TLS at once, without a protocol name: %v", err)
	}}
}
