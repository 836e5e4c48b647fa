package protocol

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"example.org/starttls"
)

// SASL exchanges (RFC 4422) as the line protocols carry them.

// saslReply is what a server's line means in an exchange.
type saslReply int

const (
	saslContinue saslReply = iota
	saslSuccess
	saslFailure
)

// saslLines carries an exchange over lines: command, with the initial response
// if there is one, then challenges and answers in base64. read reads the next
// reply and its challenge.
func saslLines(w *starttls.Wire, command string, initial []byte, next func([]byte) ([]byte, error), read func() (saslReply, string, error)) error {
	if initial != nil {
		command += " " + or(base64.StdEncoding.EncodeToString(initial), "=") // RFC 4954, section 4
	}
	if err := w.WriteLine(command); err != nil {
		return err
	}
	for {
		state, text, err := read()
		if err != nil {
			return err
		}
		switch state {
		case saslSuccess:
			return nil
		case saslFailure:
			return &starttls.RefusedError{Reply: []byte(text)}
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return &starttls.ReplyError{Expected: "a challenge in base64", Reply: []byte(text)}
		}
		answer, err := next(challenge)
		if err != nil {
			w.WriteLine("*") // cancels, in all of these protocols
			return err
		}
		if err := w.WriteLine(base64.StdEncoding.EncodeToString(answer)); err != nil {
			return err
		}
	}
}

// Authenticate is SMTP's AUTH (RFC 4954).
func (p smtp) Authenticate(w *starttls.Wire, mechanism string, initial []byte, next func([]byte) ([]byte, error)) error {
	var h starttls.Hello
	if err := p.capabilities(w, &h); err != nil {
		return err
	}
	return saslLines(w, "AUTH "+mechanism, initial, next, func() (saslReply, string, error) {
		r, err := readCodeReply(w, "a reply to AUTH")
		switch {
		case err != nil:
			return 0, "", err
		case r.code == 334:
			return saslContinue, r.lines[0], nil
		case r.code == 235:
			return saslSuccess, "", nil
		}
		return saslFailure, string(r.raw), nil
	})
}

// Authenticate is IMAP's AUTHENTICATE (RFC 9051, section 6.2.2), with an
// initial response where the server knows that (RFC 4959).
func (p imap) Authenticate(w *starttls.Wire, mechanism string, initial []byte, next func([]byte) ([]byte, error)) error {
	const tag = "s1"
	var h starttls.Hello
	if err := p.capabilities(w, &h); err != nil {
		return err
	}
	next, initial = holdInitial(initial, strings.Contains(strings.ToUpper(strings.Join(h.Caps, " ")), "SASL-IR"), next)
	return saslLines(w, tag+" AUTHENTICATE "+mechanism, initial, next, func() (saslReply, string, error) {
		for {
			line, err := w.ReadLine()
			if err != nil {
				return 0, "", err
			}
			if challenge, ok := strings.CutPrefix(line, "+"); ok {
				return saslContinue, challenge, nil
			}
			if rest, ok := strings.CutPrefix(line, tag+" "); ok && imapOK(rest) {
				return saslSuccess, "", nil
			} else if ok || strings.HasPrefix(line, "* BYE") {
				return saslFailure, line, nil
			}
		}
	})
}

// holdInitial gives the initial response as the answer to the first, empty
// challenge where it can not go with the command.
func holdInitial(initial []byte, allowed bool, next func([]byte) ([]byte, error)) (func([]byte) ([]byte, error), []byte) {
	if initial == nil || allowed {
		return next, initial
	}
	return func(challenge []byte) ([]byte, error) {
		if first := initial; first != nil {
			initial = nil
			return first, nil
		}
		return next(challenge)
	}, nil
}

// Authenticate is POP3's AUTH (RFC 5034).
func (p pop3) Authenticate(w *starttls.Wire, mechanism string, initial []byte, next func([]byte) ([]byte, error)) error {
	return saslLines(w, "AUTH "+mechanism, initial, next, func() (saslReply, string, error) {
		line, err := w.ReadLine()
		if err != nil {
			return 0, "", err
		}
		if challenge, ok := strings.CutPrefix(line, "+ "); ok || line == "+" {
			return saslContinue, challenge, nil
		}
		ok, _, err := popStatus(line, "a reply to AUTH")
		if ok {
			return saslSuccess, "", err
		}
		return saslFailure, line, err
	})
}

// Authenticate is ManageSieve's AUTHENTICATE (RFC 5804, section 2.1), in which
// messages are strings.
func (p sieve) Authenticate(w *starttls.Wire, mechanism string, initial []byte, next func([]byte) ([]byte, error)) error {
	command := "AUTHENTICATE " + strconv.Quote(mechanism)
	if initial != nil {
		command += " " + sieveString(initial)
	}
	if err := w.WriteLine(command); err != nil {
		return err
	}
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, `"`) && !strings.HasPrefix(line, "{") {
			return sieveStatus(line, "a reply to AUTHENTICATE")
		}
		if n, _, ok := imapLiteral(line); ok {
			b, err := w.ReadN(n + 2) // and its CRLF
			if err != nil {
				return err
			}
			line = string(b)
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimSpace(line), `"`))
		if err != nil {
			return &starttls.ReplyError{Expected: "a challenge in base64", Reply: []byte(line)}
		}
		answer, err := next(challenge)
		if err != nil {
			w.WriteLine(`"*"`)
			return err
		}
		if err := w.WriteLine(sieveString(answer)); err != nil {
			return err
		}
	}
}

func sieveString(b []byte) string {
	return fmt.Sprintf("%q", base64.StdEncoding.EncodeToString(b))
}
