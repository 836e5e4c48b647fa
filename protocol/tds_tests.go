package protocol

import "example.org/starttls"

// Tests ask for a session without encryption (MS-TDS, section 2.2.6.5). No
// sign-in is sent in it.
func (tds) Tests() []starttls.Test {
	return []starttls.Test{{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if _, err := w.Write(tdsMessage(tdsPrelogin, prelogin("", tdsNotSup))); err != nil {
			return starttls.Verdict{}, err
		}
		kind, data, err := readTDS(w)
		if err != nil {
			return starttls.Verdict{}, err
		}
		_, encryption, ok := parsePrelogin(data)
		switch {
		case kind != tdsReply || !ok:
			return untold(readTDSTokens(data).failure)
		case encryption == tdsNotSup || encryption == tdsOff:
			return fault("a client without encryption is let in (ENCRYPT_NOT_SUP)")
		}
		return sound("a client without encryption is told that it is required")
	}}}
}
