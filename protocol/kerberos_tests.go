package protocol

import (
	"encoding/binary"
	"errors"
	"strings"

	"example.org/starttls"
)

// Tests are those of RFC 6251 and RFC 5021. What a KDC says needs no TLS to be
// trusted, and few require it.
func (p kerberos) Tests() []starttls.Test {
	return []starttls.Test{
		{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			h, err := p.Probe(w)
			answer := strings.Join(h.Caps, "")
			switch {
			case err != nil:
				return starttls.Verdict{}, err
			case strings.Contains(answer, "KDC_ERR_POLICY"):
				return sound("a request in clear is refused: %s", answer)
			}
			return harmless("a request in clear is answered: %s", answer)
		}},
		askAgain(p),
		{ID: "starttls-args", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			if _, err := w.Write(binary.BigEndian.AppendUint32(nil, krbExtension|2)); err != nil {
				return starttls.Verdict{}, err
			}
			answer, err := readKRB(w)
			switch {
			case errors.As(err, new(*starttls.ReplyError)): // not what should be said, but no consent
				return sound("an extension that nobody knows is refused: %v", err)
			case err != nil:
				return starttls.Verdict{}, err
			case len(answer) == 0:
				return fault("an extension that nobody knows is granted")
			}
			return sound("an extension that nobody knows is refused: %s", krbErrorText(answer))
		}},
	}
}
