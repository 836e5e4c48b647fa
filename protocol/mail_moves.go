package protocol

import (
	"bytes"

	"example.org/starttls"
)

// Moves are POP3's: greetings that are almost one, and a CAPA that is not known.
func (pop3) Moves(string) []starttls.Move {
	return []starttls.Move{
		hides(starttls.Move{ID: "caps-refused", Reply: answer("-ERR unknown command\r\n", "CAPA")}),
		hides(greets("greeting-apop", "+OK ready <1234.5678@lab>\r\n")),
		hides(greets("greeting-prefix", "+Okay ready\r\n")),
		hides(greets("greeting-odd", "+Do you even care?\r\n")),
		{ID: "inject-resp-raw", Withhold: true, GoAhead: behind("+OK \xfe\xff\x80\x81\r\n.\r\n")},
		{ID: "inject-resp", Withhold: true, GoAhead: behind("+OK\r\nUIDL\r\nUSER\r\nSASL PLAIN LOGIN\r\n.\r\n")},
	}
}

// Moves are ManageSieve's: referrals (RFC 5804, section 1.3), and a bye.
func (sieve) Moves(trap string) []starttls.Move {
	return []starttls.Move{
		hides(greets("redirect", "BYE (REFERRAL \"sieve://"+trap+"/\") \"elsewhere\"\r\n")),
		{ID: "redirect-starttls", GoAhead: say("BYE (REFERRAL \"sieve://" + trap + "/\") \"elsewhere\"\r\n")},
	}
}

// Moves are IRC's: what a server may say unasked, and capabilities that are not
// told or are forged (IRCv3 sts).
func (irc) Moves(string) []starttls.Move {
	return []starttls.Move{
		{ID: "inject-pre", Reply: first(":lab NOTICE * :" + canary + "\r\n:lab 005 * " + canary + "\r\n"), Tells: []string{canary}},
		hides(starttls.Move{ID: "caps-refused", Reply: answer(":lab 421 * CAP :Unknown command\r\n", "CAP")}),
		{ID: "sts-forged", Hide: true, Hello: starttls.Hello{Caps: []string{"sts=port=6667,duration=0"}}},
		{ID: "error-registered", GoAhead: say(":lab 451 * :You have not registered\r\n")},
	}
}

// Moves are XMPP's (RFC 6120): errors of the stream, a stream from before 1.0,
// and features that an older client takes up first.
func (p xmpp) Moves(trap string) []starttls.Move {
	streamErrorOf := func(id, condition string) starttls.Move {
		return starttls.Move{ID: id, Reply: features(func([]byte) string { return "<stream:error>" + condition + "</stream:error></stream:stream>" })}
	}
	const ns = " xmlns='urn:ietf:params:xml:ns:xmpp-streams'"
	with := func(id, more string) starttls.Move {
		return starttls.Move{ID: id, Hide: true, Reply: features(func(inner []byte) string { return "<stream:features>" + more + string(inner) + "</stream:features>" })}
	}
	return []starttls.Move{
		streamErrorOf("redirect", "<see-other-host"+ns+">"+trap+"</see-other-host>"),
		streamErrorOf("host-gone", "<host-gone"+ns+"/>"),
		with("legacy-auth", "<auth xmlns='http://jabber.org/features/iq-auth'/>"),
		with("compress-first", "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>"),
		{ID: "version-none", Hide: true, Reply: func(tls bool, heard, said []byte) []byte {
			head, _, ok := bytes.Cut(said, []byte("<stream:features>"))
			if tls || !ok {
				return said
			}
			return bytes.Replace(head, []byte(" version='1.0' xmlns"), []byte(" xmlns"), 1)
		}},
		{ID: "inject-space", Withhold: true, GoAhead: behind(" \n<?xml version='1.0'?><stream:stream from='lab' id='lab' version='1.0' xmlns='" + p.namespace + "' xmlns:stream='" + nsStreams +
			"'><stream:features><mechanisms xmlns='" + nsSASL + "'><mechanism>PLAIN</mechanism></mechanisms></stream:features>")},
	}
}

// features is a Reply that puts something else in the place of a stream's
// features in clear.
func features(f func(inner []byte) string) func(bool, []byte, []byte) []byte {
	return func(tls bool, _, said []byte) []byte {
		head, rest, ok := bytes.Cut(said, []byte("<stream:features>"))
		if tls || !ok {
			return said
		}
		inner, _, _ := bytes.Cut(rest, []byte("</stream:features>"))
		return append(bytes.Clone(head), f(inner)...)
	}
}
