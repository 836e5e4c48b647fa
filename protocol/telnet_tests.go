package protocol

import (
	"bytes"

	"example.org/starttls"
)

// Tests decline TLS, and wait for the question who is there.
func (telnet) Tests() []starttls.Test {
	return []starttls.Test{{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		var text []byte
		for {
			e, err := readTelnet(w)
			if err != nil {
				return starttls.Verdict{}, err
			}
			if e.command == 0 {
				text = append(text, bytes.ToLower(e.data)...)
			} else if _, err := w.Write(telnetDeny(e)); err != nil {
				return starttls.Verdict{}, err
			}
			for _, prompt := range []string{"login:", "username:", "user:", "password:"} {
				if bytes.HasSuffix(text, []byte(prompt)) {
					return fault("without TLS the server asks %q", text[len(text)-len(prompt):])
				}
			}
		}
	}}}
}
