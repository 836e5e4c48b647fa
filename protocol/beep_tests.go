package protocol

import (
	"slices"

	"example.org/starttls"
)

// Tests are those of RFC 3080, section 3.1.
func (p beep) Tests() []starttls.Test {
	return []starttls.Test{
		{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			others := slices.DeleteFunc(slices.Clone(w.Before().Caps), func(uri string) bool { return uri == beepTLS })
			if len(others) == 0 {
				return sound("nothing but TLS can be begun in clear")
			}
			if _, err := w.Write([]byte(beepOpening(1, "<start number='1'>"+beepProfile(others[0], "")+"</start>"))); err != nil {
				return starttls.Verdict{}, err
			}
			m, err := readBEEP(w)
			switch {
			case err != nil:
				return starttls.Verdict{}, err
			case m.kind == "ERR":
				return sound("%s can not be begun in clear", others[0])
			}
			return harmless("%s can be begun in clear", others[0])
		}},
		{ID: "starttls-twice", Level: 2, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			if _, err := p.Client(w, starttls.NoAsk); err != nil {
				return starttls.Verdict{}, err
			}
			return judgeAgain(w, p.askTLS(w))
		}},
	}
}
