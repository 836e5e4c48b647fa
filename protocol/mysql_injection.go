package protocol

import (
	"encoding/binary"

	"example.org/starttls"
)

// Injection signs in as nobody, with a password that is none. A client without
// plugins can not be told to use another one, and so is turned away, by name or
// as too old; all other answers are to one that has them. A malformed packet
// would be told apart as well, but servers count those, and in the end shut out
// the address they came from.
func (mysql) Injection(_, marker string) starttls.Injection {
	signIn := func(user string) []byte {
		return append(myHandshake(mySSL), user+"\x00\x14"+(user + user + user)[:20]...) // as long as a password's hash
	}
	control := signIn(twin(marker))
	control[2] &^= myPluginAuth >> 16
	return starttls.Injection{
		Probe:   myPacket(2, append(signIn(marker), myNative+"\x00"...)),
		Control: myPacket(2, control),
		Classify: func(said []byte) starttls.Reply {
			r := classifyHolds(twin(marker), marker)(said)
			if len(said) < 7 || said[3] != 3 {
				return r
			}
			switch said[4] { // OK, what the plugin has to say, another plugin
			case 0, 1, 0xfe:
				r.Probe = true
			case 0xff:
				r.Control = r.Control || binary.LittleEndian.Uint16(said[5:]) == myErrOldHello
			}
			return r
		},
	}
}
