package protocol

import (
	"fmt"
	"strings"

	"example.org/starttls"
)

// Tests connect in clear, without a sign-in and with one of nobody.
func (p nats) Tests() []starttls.Test {
	signIn := fmt.Sprintf(`,"user":"%s","pass":"%s"`, nobody(), nobody())
	return []starttls.Test{p.inClear("tls-not-required", 2, ""), p.inClear("auth-cleartext", 3, signIn)}
}

func (nats) inClear(id string, level int, signIn string) starttls.Test {
	return starttls.Test{ID: id, Level: level, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if err := w.WriteLine(`CONNECT {"verbose":false,"pedantic":false,"lang":"go","version":"0","name":"starttls"` + signIn + "}\r\nPING"); err != nil {
			return starttls.Verdict{}, err
		}
		for {
			line, err := w.ReadLine()
			if err != nil {
				return starttls.Verdict{}, err
			}
			name, arg := verb(line)
			switch {
			case name == "PONG" && signIn == "" || name == "-ERR" && strings.Contains(arg, "Authorization"):
				return fault("CONNECT in clear is answered by %s", starttls.Quote([]byte(line)))
			case name == "PONG": // whoever it is: there is no sign-in
				return starttls.Verdict{}, starttls.ErrNoObject
			case name == "-ERR" && wantsTLS(arg):
				return sound("CONNECT in clear is refused: %s", starttls.Quote([]byte(line)))
			case name == "-ERR":
				return untold(line)
			}
		}
	}}
}
