package protocol

import (
	"slices"
	"strings"

	"example.org/starttls"
)

// Tests are those of OASIS AMQP 1.0, part 5, sections 5.2 and 5.3.
func (p amqp) Tests() []starttls.Test {
	return []starttls.Test{
		{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			header, _, err := amqpBegin(w)
			switch {
			case err != nil:
				return starttls.Verdict{}, err
			case header == amqpTLS:
				return sound("who begins without TLS is told to have it")
			}
			return fault("a session in clear goes on: %s", amqpLayer([]byte(header)))
		}},
		askAgain(p),
		{ID: "auth-cleartext", Level: 3, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			header, mechanisms, err := amqpBegin(w)
			switch {
			case err != nil:
				return starttls.Verdict{}, err
			case header != amqpSASL || !slices.Contains(mechanisms, "PLAIN"):
				return sound("in clear PLAIN is not to be had: %s", or(strings.Join(mechanisms, " "), amqpLayer([]byte(header))))
			}
			message := "\x00" + nobody() + "\x00" + nobody()
			if _, err := w.Write(amqpFrame(1, amqpInit, "\xa3\x05PLAIN", "\xa0"+string([]byte{byte(len(message))})+message)); err != nil {
				return starttls.Verdict{}, err
			}
			code, body, err := readAMQPFrame(w)
			if err != nil {
				return starttls.Verdict{}, err
			}
			fields, _ := amqpList(body)
			if code != amqpOutcome || len(fields) == 0 || len(fields[0]) < 2 {
				return untold(string(body))
			}
			return fault("random credentials in clear are answered by the outcome %d", fields[0][1])
		}},
	}
}

// amqpBegin asks for a sign-in in clear, and reads how one signs in.
func amqpBegin(w *starttls.Wire) (header string, mechanisms []string, err error) {
	if _, err := w.Write([]byte(amqpSASL)); err != nil {
		return "", nil, err
	}
	b, err := readAMQPHeader(w)
	if err != nil || string(b) != amqpSASL {
		return string(b), nil, err
	}
	code, body, err := readAMQPFrame(w)
	if err == nil && code != amqpMechanisms {
		err = &starttls.ReplyError{Expected: "sasl-mechanisms", Reply: body}
	}
	if fields, _ := amqpList(body); err == nil && len(fields) > 0 {
		mechanisms = amqpSymbols(fields[0])
	}
	return string(b), mechanisms, err
}
