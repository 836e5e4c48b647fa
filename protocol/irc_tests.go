package protocol

import (
	"strings"

	"example.org/starttls"
)

// Tests are those of IRCv3's "tls" and "sts".
func (p irc) Tests() []starttls.Test {
	return []starttls.Test{p.twice(), p.late(), p.sts(), p.signIn()}
}

func (p irc) twice() starttls.Test {
	return starttls.Test{ID: "starttls-twice", Level: 2, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if err := w.WriteLine("STARTTLS"); err != nil {
			return starttls.Verdict{}, err
		}
		m, err := p.next(w)
		return grantedInside(w, m.command == "670", starttls.Quote([]byte(m.line)), err)
	}}
}

// late asks for TLS in a session, under a random name, that has begun in clear.
// The request belongs before NICK and USER.
func (p irc) late() starttls.Test {
	return starttls.Test{ID: "starttls-late", Level: 3, Full: true,
		Before: func(w *starttls.Wire) error {
			name := nobody()
			if _, err := w.Write([]byte("CAP END\r\nNICK " + name + "\r\nUSER " + name + " 0 * :" + name + "\r\n")); err != nil {
				return err
			}
			for { // up to the end of the message of the day, or that there is none
				line, err := w.ReadLine()
				if err != nil {
					return err
				}
				switch m := parseIRC(line); m.command {
				case "376", "422":
					return p.drain(w)
				case "ERROR", "451", "432", "433", "464", "465":
					return starttls.ErrNoObject
				case "PING":
					if err := w.WriteLine("PONG :" + m.param(len(m.params)-1)); err != nil {
						return err
					}
				}
			}
		},
		Run: func(*starttls.Wire) (starttls.Verdict, error) {
			return fault("behind NICK and USER, in a session that has begun, STARTTLS is obeyed")
		}}
}

// sts looks whether the policy is told as it must be: the port in clear, and how
// long it holds inside TLS, where alone that is believed.
func (p irc) sts() starttls.Test {
	return starttls.Test{ID: "sts-capability", Level: 2, Full: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		h, err := p.Probe(w)
		if err != nil {
			return starttls.Verdict{}, err
		}
		clear, listed := ircPolicy(w.Before().Caps)
		inside, again := ircPolicy(h.Caps)
		switch {
		case !listed && !again:
			return starttls.Verdict{}, starttls.ErrNoObject
		case listed && clear["port"] == "":
			return fault("in clear the capability sts names no port")
		case inside["duration"] == "":
			return fault("inside TLS there is no capability sts with a duration, and without one nobody keeps to it")
		}
		return sound("sts names a port in clear, and a duration inside TLS")
	}}
}

// ircPolicy is the value of the capability sts, in its parts.
func ircPolicy(caps []string) (parts map[string]string, listed bool) {
	parts = map[string]string{}
	for _, c := range caps {
		name, value, _ := strings.Cut(c, "=")
		if !strings.EqualFold(name, "sts") {
			continue
		}
		listed = true
		for part := range strings.SplitSeq(value, ",") {
			key, value, _ := strings.Cut(part, "=")
			parts[key] = value
		}
	}
	return parts, listed
}

// signIn signs in as nobody in clear, by SASL.
func (p irc) signIn() starttls.Test {
	return starttls.Test{ID: "auth-cleartext", Level: 3, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		var h starttls.Hello
		if err := p.capabilities(w, &h); err != nil {
			return starttls.Verdict{}, err
		}
		var m ircMessage
		for _, step := range []struct{ say, want string }{{"CAP REQ :sasl", "CAP"}, {"AUTHENTICATE PLAIN", "AUTHENTICATE"}, {"AUTHENTICATE " + plainOfNobody(), ""}} {
			if err := w.WriteLine(step.say); err != nil {
				return starttls.Verdict{}, err
			}
			var err error
			if m, err = p.nextNumeric(w); err != nil {
				return starttls.Verdict{}, err
			}
			if step.want != "" && m.command != step.want || strings.EqualFold(m.param(1), "NAK") {
				return sound("a sign-in in clear is not to be had: %s", starttls.Quote([]byte(m.line)))
			}
		}
		if m.command == "903" || m.command == "904" && !wantsTLS(m.line) {
			return fault("random credentials in clear are answered by %s", starttls.Quote([]byte(m.line)))
		}
		return sound("a sign-in in clear is refused: %s", starttls.Quote([]byte(m.line)))
	}}
}

// nextNumeric reads up to what answers a sign-in: next takes those numerics for
// chatter.
func (p irc) nextNumeric(w *starttls.Wire) (ircMessage, error) {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return ircMessage{}, err
		}
		m := parseIRC(line)
		if m.command == "CAP" || m.command == "AUTHENTICATE" || m.command == "421" || m.command == "451" || strings.HasPrefix(m.command, "90") {
			return m, nil
		}
	}
}
