package protocol

import (
	"bytes"
	"encoding/binary"
	"strings"

	"example.org/starttls"
)

// Moves are HTTP's: answers to an upgrade that are none.
func (http) Moves(trap string) []starttls.Move {
	none := starttls.Hello{}
	return []starttls.Move{
		{ID: "upgrade-ignored", GoAhead: say(string(httpResponse("200 OK", none, "Allow: GET, OPTIONS", "")))},
		{ID: "upgrade-none", GoAhead: say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n")},
		{ID: "upgrade-other", GoAhead: say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")},
		{ID: "upgrade-again", GoAhead: say(string(httpResponse("426 Upgrade Required", none, "Upgrade: "+httpTLS+"\r\nConnection: Upgrade", "")))},
		{ID: "redirect", GoAhead: say(string(httpResponse("302 Found", none, "Location: http://"+trap+"/", "")))},
	}
}

// Moves are NBD's: a negotiation from before options could be refused.
func (nbd) Moves(string) []starttls.Move {
	return []starttls.Move{hides(greets("newstyle-old", nbdGreeting[:16]+"\x00\x02"))}
}

// Moves are VNC's: VeNCrypt's subtypes without a certificate, and none at all.
func (vnc) Moves(string) []starttls.Move {
	usual := binary.BigEndian.AppendUint32([]byte{0, 1}, vncX509None)
	subtypes := func(id string, numbers ...uint32) starttls.Move {
		list := []byte{0, byte(len(numbers))}
		for _, n := range numbers {
			list = binary.BigEndian.AppendUint32(list, n)
		}
		return starttls.Move{ID: id, Reply: func(tls bool, _, said []byte) []byte {
			if !tls && bytes.Equal(said, usual) {
				return list
			}
			return said
		}}
	}
	return []starttls.Move{subtypes("subtypes-plain", 256), subtypes("subtypes-anonymous", 257, 258, 259)}
}

// Moves are AMQP's: another layer in the place of TLS.
func (amqp) Moves(string) []starttls.Move {
	return []starttls.Move{{ID: "layer-plain", GoAhead: say(amqpPlain)}, {ID: "layer-sasl", GoAhead: say(amqpSASL)}}
}

// Moves are RDP's: the choice of its own encryption.
func (rdp) Moves(string) []starttls.Move {
	return []starttls.Move{
		{ID: "own-encryption", GoAhead: say(string(rdpConnection(rdpConfirm, rdpAnswers, 0)))},
		{ID: "no-negotiation", GoAhead: say(string(tpkt("\x06\xd0\x00\x00\x00\x00\x00", nil)))},
	}
}

// Moves are RPC's: an answer without the word that grants TLS (RFC 9289, section
// 4.1).
func (rpc) Moves(string) []starttls.Move {
	return []starttls.Move{{ID: "verifier-none", GoAhead: func(heard, _ []byte) []byte {
		if len(heard) < 8 {
			return nil
		}
		return rpcWords("", word(heard, 1), rpcReply, 0, 0, 0, 0)
	}}, {ID: "verifier-other", GoAhead: func(_, msg []byte) []byte {
		return []byte(strings.Replace(string(msg), rpcGranted, "STRIPTLS", 1))
	}}}
}
