package protocol

import "example.org/starttls"

// Tests ask for the state of a machine's files in clear, and for TLS where it
// is on.
func (radmind) Tests() []starttls.Test {
	l := lineTests{request: "STARTTLS", ask: askCode}
	return []starttls.Test{l.notRequired("STAT COMMAND", ""), l.twice(), l.args()}
}
