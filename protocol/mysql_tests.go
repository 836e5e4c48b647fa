package protocol

import (
	"crypto/rand"
	"encoding/binary"
	"strings"

	"example.org/starttls"
)

// Tests sign in in clear, as a user that does not exist. That a user needs TLS
// can be a condition of that user alone (REQUIRE SSL), which no stranger sees.
func (mysql) Tests() []starttls.Test {
	return []starttls.Test{mySignInClear("tls-not-required", false), mySignInClear("auth-cleartext", true)}
}

// myClearPassword is the plugin that sends the password itself.
const myClearPassword = "mysql_clear_password"

// mySignInClear signs in; bare is whether the fault is only that the password
// itself is asked for.
func mySignInClear(id string, bare bool) starttls.Test {
	return starttls.Test{ID: id, Level: 3, Full: bare, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		hash := make([]byte, 20)
		rand.Read(hash)
		body := append(myHandshake(0), nobody()+"\x00\x14"...)
		body = append(append(body, hash...), myNative+"\x00"...)
		if _, err := w.Write(myPacket(1, body)); err != nil {
			return starttls.Verdict{}, err
		}
		_, answer, err := readMySQL(w)
		if err != nil {
			return starttls.Verdict{}, err
		}
		asks := len(answer) > 0 && answer[0] == 0xfe && strings.HasPrefix(string(answer[1:]), myClearPassword)
		failure, text := uint16(0), ""
		if len(answer) > 2 && answer[0] == 0xff {
			failure = binary.LittleEndian.Uint16(answer[1:])
			_, text = myErrorText(answer)
		}
		switch {
		case bare && asks:
			return fault("in clear the server asks for the password itself (%s)", myClearPassword)
		case bare:
			return sound("in clear the server does not ask for the password itself")
		case failure == myErrInsecure:
			return sound("a session in clear is refused: %s", starttls.Quote([]byte(text)))
		case failure == myErrDenied:
			return fault("random credentials in clear are answered by %s", starttls.Quote([]byte(text)))
		case failure == 0 && len(answer) > 0 && answer[0] <= 1 || len(answer) > 0 && answer[0] == 0xfe:
			return fault("a sign-in in clear goes on")
		}
		return untold(text)
	}}
}

const myErrDenied = 1045 // ER_ACCESS_DENIED_ERROR
