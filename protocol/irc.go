package protocol

import (
	"strings"

	"example.org/starttls"
)

// IRC is IRCv3's deprecated but used "tls" capability. A server may send
// notices at any time, so what came before the request is read first. The
// specification says nothing of the capability inside TLS.
var IRC = register(irc{})

type irc struct{}

func (irc) Info() starttls.Info {
	return starttls.Info{
		Name: "irc", Port: 6667, ImplicitTLS: 6697, ALPN: []string{"irc"}, Title: "IRC, chat", Reference: "IRCv3 tls",
	}
}

// ircMessage is a line taken apart (RFC 1459, section 2.3.1).
type ircMessage struct {
	command string
	params  []string
	line    string
}

func parseIRC(line string) ircMessage {
	m := ircMessage{line: line}
	rest := line
	if strings.HasPrefix(rest, "@") { // message tags
		_, rest, _ = strings.Cut(rest, " ")
	}
	if strings.HasPrefix(rest, ":") {
		_, rest, _ = strings.Cut(rest, " ")
	}
	head, trailing, last := strings.Cut(" "+rest, " :")
	if words := strings.Fields(head); len(words) > 0 {
		m.command, m.params = strings.ToUpper(words[0]), words[1:]
	}
	if last {
		m.params = append(m.params, trailing)
	}
	return m
}

// next reads the next message that is not chatter. Pings are answered, since
// some servers wait for that before anything else.
func (irc) next(w *starttls.Wire) (ircMessage, error) {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return ircMessage{}, err
		}
		switch m := parseIRC(line); m.command {
		case "NOTICE", "", "020":
		case "PING":
			if err := w.WriteLine("PONG :" + strings.Join(m.params, " ")); err != nil {
				return m, err
			}
		case "ERROR":
			return m, &starttls.RefusedError{Reply: []byte(line + "\r\n"), Temporary: true}
		default:
			return m, nil
		}
	}
}

func (p irc) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := p.capabilities(w, &h); err != nil {
		return h, err
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	if err := p.drain(w); err != nil {
		return h, err
	}
	if err := w.Ask([]byte("STARTTLS\r\n")); err != nil {
		return h, err
	}
	m, err := p.next(w)
	if err != nil {
		return h, err
	}
	switch m.command {
	case "670":
		return h, nil
	case "691", "421", "451", "462":
		return h, &starttls.RefusedError{Reply: []byte(m.line + "\r\n")}
	}
	return h, &starttls.ReplyError{Expected: "670", Reply: []byte(m.line)}
}

// drain reads the notices that came before the request. Anything else stays,
// for Wire.Ask to find.
func (irc) drain(w *starttls.Wire) error {
	for len(w.Ahead()) > 0 {
		line, err := w.PeekLine()
		if err != nil || parseIRC(line).command != "NOTICE" {
			return err
		}
		if _, err := w.ReadLine(); err != nil {
			return err
		}
	}
	return nil
}

// capabilities sends CAP LS and reads the answer, of one line or several, into
// h. A server that does not know it answers with an error and has none.
func (p irc) capabilities(w *starttls.Wire, h *starttls.Hello) error {
	if err := w.WriteLine("CAP LS 302"); err != nil {
		return err
	}
	for {
		m, err := p.next(w)
		if err != nil {
			return err
		}
		switch {
		case m.command == "421" || m.command == "451" || m.command == "462":
			return nil
		case m.command != "CAP" || len(m.params) < 3 || !strings.EqualFold(m.params[1], "LS"):
			return &starttls.ReplyError{Expected: "an answer to CAP LS", Reply: []byte(m.line)}
		}
		for _, c := range strings.Fields(m.params[len(m.params)-1]) {
			h.Caps = append(h.Caps, c)
			name, value, _ := strings.Cut(c, "=")
			switch strings.ToLower(name) {
			case "tls":
				h.Offered = true
			case "sasl":
				h.Auth = appendNew(h.Auth, strings.FieldsFunc(strings.ToUpper(or(value, "PLAIN")), func(r rune) bool { return r == ',' })...)
			}
		}
		if m.params[2] != "*" || len(m.params) == 3 { // no more lines follow
			return nil
		}
	}
}

func (p irc) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	return h, p.capabilities(w, &h)
}

func (p irc) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(keepVerbs("CAP", "STARTTLS", "PING", "QUIT"))
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	session := func(name string) bool {
		return name == "NICK" || name == "USER" || name == "PASS" || name == "AUTHENTICATE"
	}
	out.TLS, err = serveLines(w, offer, session, func(name, arg, line string) (bool, error) {
		reply := func(s string) (bool, error) { return refuseLine(w, ":"+w.ServerName()+" "+s) }
		switch {
		case name == "CAP" && strings.HasPrefix(strings.ToUpper(arg), "LS"):
			return false, p.sendCapabilities(w, capsBefore(h.Caps, offer, "tls"))
		case name == "CAP":
			return reply("CAP * NAK :")
		case name == "STARTTLS" && offer.Mode == starttls.Hide:
			return reply("421 * STARTTLS :Unknown command")
		case name == "STARTTLS" && offer.Mode == starttls.Decline:
			return reply(override(offer, "691 * :TLS is not available now"))
		case name == "STARTTLS":
			return true, w.GoAhead([]byte(":" + w.ServerName() + " " + override(offer, "670 * :STARTTLS successful, go ahead with TLS") + "\r\n"))
		case name == "PING":
			return false, w.WriteLine("PONG :" + arg)
		case name == "QUIT":
			w.WriteLine("ERROR :Bye")
			return false, starttls.ErrNotUpgraded
		case isHTTP(line):
			w.WriteLine("ERROR :This is a chat server")
			return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
		case session(name): // clients take ERROR as the end, which it is
			w.WriteLine("ERROR :Say STARTTLS first: nothing is accepted in clear")
			return false, starttls.ErrNotUpgraded
		}
		return reply("421 * * :Unknown command") // not echoed: it may be a secret
	})
	return out, err
}

func (irc) sendCapabilities(w *starttls.Wire, caps []string) error {
	return w.WriteLine(":" + w.ServerName() + " CAP * LS :" + strings.Join(caps, " "))
}

// Serve speaks a minimal session: registration, sign-in by SASL PLAIN, pings.
func (p irc) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	var nick string
	var welcomed bool
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		name, arg := verb(line)
		arg = strings.TrimPrefix(arg, ":")
		reply := func(s string) error { return w.WriteLine(":" + w.ServerName() + " " + s) }
		switch name {
		case "QUIT":
			return w.WriteLine("ERROR :Bye")
		case "CAP":
			switch sub, list := verb(arg); sub {
			case "LS":
				err = p.sendCapabilities(w, append(capsInside(h.Caps, "tls"), "sasl=PLAIN"))
			case "REQ":
				err = reply("CAP * ACK :" + strings.TrimPrefix(list, ":"))
			}
		case "PING":
			err = reply("PONG :" + arg)
		case "PASS":
			sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PASS", User: nick, Secret: []byte(arg)})
		case "NICK":
			nick = arg
			sink.Tell(starttls.Leak{What: "metadata", User: nick})
		case "USER":
			if !welcomed {
				welcomed, err = true, reply("001 "+or(nick, "*")+" :Welcome")
			}
		case "AUTHENTICATE":
			err = ircAuthenticate(w, or(nick, "*"), arg, sink)
		case "STARTTLS":
			err = reply("691 " + or(nick, "*") + " :TLS is not to be had now")
		case "PRIVMSG", "NOTICE":
			sink.Tell(starttls.Leak{What: "content"})
		default:
			if err = w.Refused(); err == nil {
				err = reply("421 " + or(nick, "*") + " " + name + " :Unknown command")
			}
		}
		if err != nil {
			return err
		}
	}
}

// ircAuthenticate takes one AUTHENTICATE: the mechanism, then its message.
func ircAuthenticate(w *starttls.Wire, nick, arg string, sink starttls.Sink) error {
	if strings.EqualFold(arg, "PLAIN") {
		return w.WriteLine("AUTHENTICATE +")
	}
	if user, secret, ok := plainSecret(arg); ok {
		sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PLAIN", User: user, Secret: secret})
		return w.WriteLine(":" + w.ServerName() + " 903 " + nick + " :Signed in")
	}
	return w.WriteLine(":" + w.ServerName() + " 904 " + nick + " :Sign-in failed")
}
