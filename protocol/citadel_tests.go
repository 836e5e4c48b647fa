package protocol

import "example.org/starttls"

// askCitadel asks Citadel.
func askCitadel(w *starttls.Wire, command string) (lineAnswer, error) {
	if err := writeLF(w, command); err != nil {
		return lineAnswer{}, err
	}
	code, _, line, err := citadelReply(w, "an answer")
	a := codeReply{code: code}.answer()
	a.text = line
	if code == citadelNoUser { // looked up, all the same
		a.kind = more
	}
	return a, err
}

const citadelNoUser = 570 // ERROR + NO_SUCH_USER

// Tests are about what Citadel's documentation says of STLS. It can not be told
// to require TLS.
func (citadel) Tests() []starttls.Test {
	l := lineTests{request: "STLS", ask: askCitadel}
	inClear := l.notRequired("USER "+nobody(), "")
	inClear.Run = excused(inClear.Run)
	return []starttls.Test{inClear, l.twice()}
}
