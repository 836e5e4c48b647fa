package protocol

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"example.org/starttls"
)

// Serve takes any sign-in, of which it sees what the client's plugin made of the
// password, and answers every SELECT with one row of one column that holds 1.
func (mysql) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	seq, body, err := readMySQL(w)
	if err != nil {
		return err
	}
	leak, ok := mySignIn(body)
	if !ok {
		w.Write(myError(seq+1, myErrBadHello, "#08S01Malformed handshake response"))
		return &starttls.ReplyError{Expected: "a handshake response", Reply: body[:min(len(body), 32)]}
	}
	if binary.LittleEndian.Uint32(body)&myPluginAuth == 0 {
		_, err := w.Write(myError(seq+1, myErrOldHello, "#08004Only clients with plugins are known"))
		return err
	}
	sink.Tell(leak)
	done := []byte{0, 0, 0, 2, 0, 0, 0} // OK, autocommit
	if _, err := w.Write(myPacket(seq+1, done)); err != nil {
		return err
	}
	for {
		_, command, err := readMySQL(w)
		if err != nil {
			return err
		}
		if len(command) == 0 {
			return &starttls.ReplyError{Expected: "a command"}
		}
		reply := myPacket(1, done)
		switch command[0] {
		case 1: // COM_QUIT
			return nil
		case 2, 14: // COM_INIT_DB, COM_PING
		case 3: // COM_QUERY
			sink.Tell(starttls.Leak{What: "content"})
			if words := strings.Fields(string(command[1:])); len(words) > 0 && strings.EqualFold(words[0], "select") {
				reply = myOneRow()
			}
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = myError(1, 1047, "#08S01Unknown command")
		}
		if _, err := w.Write(reply); err != nil {
			return err
		}
	}
}

// mySignIn takes a HandshakeResponse41 apart: flags, packet size, character set
// and 23 reserved bytes; user; the plugin's answer; database; plugin.
func mySignIn(body []byte) (l starttls.Leak, ok bool) {
	if len(body) <= 32 {
		return l, false
	}
	flags := binary.LittleEndian.Uint32(body)
	user, rest, found := bytes.Cut(body[32:], []byte{0})
	if flags&myProtocol41 == 0 || !found || len(rest) == 0 {
		return l, false
	}
	n := 1 + int(rest[0])
	if n > len(rest) {
		return l, false
	}
	secret, rest := rest[1:n], rest[n:]
	if flags&myConnectDB != 0 {
		_, rest, _ = bytes.Cut(rest, []byte{0})
	}
	plugin, _, _ := bytes.Cut(rest, []byte{0})
	if string(plugin) == "mysql_clear_password" {
		secret = bytes.TrimSuffix(secret, []byte{0})
	}
	return starttls.Leak{What: "sign-in", Mechanism: or(string(plugin), myNative), User: string(user), Secret: bytes.Clone(secret)}, true
}

// myOneRow is a text result set of one column called "1" with the value 1.
func myOneRow() []byte {
	column := append([]byte("\x03def\x00\x00\x00\x011\x00\x0c"), 63, 0, 1, 0, 0, 0, 8, 0x81, 0, 0, 0, 0)
	eof := []byte{0xfe, 0, 0, 2, 0}
	return slices.Concat(myPacket(1, []byte{1}), myPacket(2, column), myPacket(3, eof), myPacket(4, []byte("\x011")), myPacket(5, eof))
}
