package protocol

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"example.org/starttls"
)

// Moves are PostgreSQL's: an error in the place of an answer, whose text nobody
// may believe, GSSAPI promised, and a session put behind the consent.
func (postgresql) Moves(string) []starttls.Move {
	ready := slices.Concat(pgPacket('R', "\x00\x00\x00\x00"), pgPacket('S', "server_version\x0015.0\x00"), pgReady)
	return []starttls.Move{
		{ID: "error-message", GoAhead: say(string(pgError("FATAL", "28000", canary)))},
		{ID: "error-old", GoAhead: say("E" + canary + "\n\x00")},
		{ID: "gss-promised", Reply: func(tls bool, heard, said []byte) []byte {
			if !tls && bytes.Equal(heard, pgFirst(pgGSSENCRequest, nil)) {
				return []byte("G")
			}
			return said
		}},
		{ID: "inject-resp", Withhold: true, GoAhead: behind(string(ready))},
		{ID: "ask-md5", Hide: true, Reply: func(tls bool, _, said []byte) []byte {
			if !tls && bytes.Equal(said, pgPacket('R', "\x00\x00\x00\x03")) {
				return pgPacket('R', "\x00\x00\x00\x05salt")
			}
			return said
		}},
	}
}

// Moves are MySQL's: an error for a greeting, success before anybody has signed
// in, and a switch to a plugin that sends the password itself.
func (mysql) Moves(string) []starttls.Move {
	ok := []byte{0, 0, 0, 2, 0, 0, 0}
	ask := append([]byte("\xfemysql_clear_password"), 0)
	return []starttls.Move{
		greets("greeting-refused", string(myPacket(0, binary.LittleEndian.AppendUint16([]byte{0xff}, 1130)))),
		{ID: "early-ok", GoAhead: say(string(myPacket(2, ok)))},
		{ID: "ask-clear", Hide: true, Reply: func(tls bool, heard, said []byte) []byte {
			if tls || len(heard) < 40 { // not the answer to the greeting
				return said
			}
			return myPacket(2, ask)
		}},
	}
}

// Moves are NATS's: servers that the client is told of in clear, and errors.
func (nats) Moves(trap string) []starttls.Move {
	info := func(f func(string) string) func(bool, []byte, []byte) []byte {
		return func(tls bool, _, said []byte) []byte {
			if tls || !bytes.HasPrefix(said, []byte("INFO {")) {
				return said
			}
			return []byte(f(string(said)))
		}
	}
	return []starttls.Move{
		{ID: "redirect", GoAhead: say("-ERR 'Secure Connection - TLS Required'\r\n"), Reply: info(func(s string) string {
			return strings.Replace(s, "INFO {", `INFO {"connect_urls":["`+trap+`"],`, 1)
		})},
		{ID: "inject-pre", Reply: info(func(s string) string { return s + "INFO {\"max_payload\":1,\"nonce\":\"" + canary + "\"}\r\n" })},
		{ID: "greeting-refused", Hide: true, Reply: info(func(string) string { return "-ERR 'Authorization Violation'\r\n" })},
	}
}
