package protocol

import (
	"bytes"

	"example.org/starttls"
)

// Moves are what can be said in the place of SMTP's greeting and of the answer
// to EHLO, from which clients fall back to HELO.
func (p smtp) Moves(string) []starttls.Move {
	ehlo := func(id, reply string) starttls.Move {
		return hides(starttls.Move{ID: id, Reply: answer(reply, p.hello())})
	}
	return []starttls.Move{
		ehlo("ehlo-unknown", "502 5.5.1 Command not implemented\r\n"),
		ehlo("ehlo-refused", "550 5.7.1 Not for you\r\n"),
		ehlo("ehlo-insists", "530 5.7.0 Not now\r\n"),
		ehlo("ehlo-busy", "421 4.3.2 Try again later\r\n"),
		ehlo("ehlo-more", "354 Go on\r\n"),
		ehlo("ehlo-bye", "221 2.0.0 Bye\r\n"),
		ehlo("ehlo-bare", "250\r\n"),
		{ID: "offer-first-line", Reply: func(tls bool, heard, said []byte) []byte {
			if name, _ := verb(string(heard)); tls || name != p.hello() {
				return said
			}
			return []byte("250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n")
		}, GoAhead: say("502 5.5.1 Command not implemented\r\n")},
		hides(greets("greeting-plain", "220 lab SMTP\r\n")),
		hides(greets("greeting-busy", "421 4.3.2 Try again later\r\n")),
		hides(greets("greeting-refused", "554 5.7.1 Not for you\r\n")),
		hides(greets("greeting-more", "354 Go on\r\n")),
		{ID: "error-syntax", GoAhead: say("501 5.5.4 Syntax error\r\n")},
		{ID: "inject-resp-tls-refused", GoAhead: say("454 4.7.0 TLS not available\r\n235 2.7.0 Signed in\r\n250 2.1.0 OK\r\n250 2.1.5 OK\r\n354 Go on\r\n250 2.0.0 Taken\r\n")},
		{ID: "inject-resp", Withhold: true, GoAhead: func(_, msg []byte) []byte {
			return append(bytes.Clone(msg), "250-lab\r\n250 AUTH PLAIN LOGIN\r\n"...)
		}},
	}
}
