package protocol

import (
	"slices"
	"strings"

	"example.org/starttls"
)

// Serve speaks a minimal session: registration, sign-in by SASL PLAIN, pings.
func (p irc) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	s := ircSession{irc: p, w: w, sink: sink, caps: capsInside(h.Caps, "tls")}
	mechanisms := h.Auth
	if mechanisms == nil && w.TLS() {
		mechanisms = []string{"PLAIN"}
	}
	if len(mechanisms) > 0 {
		s.caps = append(s.caps, "sasl="+strings.Join(mechanisms, ","))
	}
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		m := parseIRC(line)
		if m.command == "QUIT" {
			return w.WriteLine("ERROR :Bye")
		}
		if err := s.message(m); err != nil {
			return err
		}
	}
}

type ircSession struct {
	irc
	w          *starttls.Wire
	sink       starttls.Sink
	caps       []string
	nick, user string
	choosing   bool // capabilities: until CAP END nobody is welcomed
	welcomed   bool
}

func (s *ircSession) message(m ircMessage) error {
	switch m.command {
	case "CAP":
		return s.capability(strings.ToUpper(m.param(0)), m.param(1))
	case "PING":
		return s.say("PONG " + s.w.ServerName() + " :" + m.param(0))
	case "PASS":
		s.sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PASS", User: s.nick, Secret: []byte(m.param(0))})
		return nil
	case "NICK":
		s.nick = m.param(0)
		s.sink.Tell(starttls.Leak{What: "metadata", User: s.nick})
		return s.welcome()
	case "USER":
		s.user = or(m.param(0), "*")
		return s.welcome()
	case "AUTHENTICATE":
		return s.authenticate(m.param(0))
	case "STARTTLS":
		return s.reply("691", ":TLS is not to be had now")
	case "PRIVMSG", "NOTICE":
		s.sink.Tell(starttls.Leak{What: "content"})
		return nil
	case "PONG", "":
		return nil
	}
	if err := s.reply("421", m.command+" :Unknown command"); err != nil {
		return err
	}
	return s.w.Refused()
}

func (s *ircSession) say(text string) error {
	return s.w.WriteLine(":" + s.w.ServerName() + " " + text)
}

func (s *ircSession) reply(numeric, text string) error {
	return s.say(numeric + " " + or(s.nick, "*") + " " + text)
}

func (s *ircSession) capability(command, list string) error {
	s.choosing = command != "END"
	switch command {
	case "LS":
		return s.sendCapabilities(s.w, s.caps)
	case "REQ":
		verdict := "ACK"
		for _, c := range strings.Fields(list) {
			if !slices.ContainsFunc(s.caps, func(have string) bool {
				name, _, _ := strings.Cut(have, "=")
				return strings.EqualFold(name, c)
			}) {
				verdict = "NAK"
			}
		}
		return s.say("CAP " + or(s.nick, "*") + " " + verdict + " :" + list)
	}
	return s.welcome()
}

// welcome ends the registration, once all of it is there.
func (s *ircSession) welcome() error {
	if s.welcomed || s.choosing || s.nick == "" || s.user == "" {
		return nil
	}
	s.welcomed = true
	if err := s.reply("001", ":Welcome"); err != nil {
		return err
	}
	return s.reply("422", ":No message of the day")
}

// authenticate takes one AUTHENTICATE: the mechanism, then its message.
func (s *ircSession) authenticate(arg string) error {
	if strings.EqualFold(arg, "PLAIN") {
		return s.w.WriteLine("AUTHENTICATE +")
	}
	user, secret, ok := plainSecret(arg)
	if !ok {
		return s.reply("904", ":Sign-in failed")
	}
	s.sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PLAIN", User: user, Secret: secret})
	return s.reply("903", ":Signed in")
}
