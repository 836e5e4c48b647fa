package protocol

import (
	"slices"
	"strconv"
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
	from    string // who sent it, if it says so
	command string // in upper case
	params  []string
	line    string // all of it
}

// param is a parameter, or "" if there are not as many.
func (m ircMessage) param(i int) string {
	if i < 0 || i >= len(m.params) {
		return ""
	}
	return m.params[i]
}

func parseIRC(line string) ircMessage {
	m := ircMessage{line: line}
	rest := line
	if strings.HasPrefix(rest, "@") { // message tags
		_, rest, _ = strings.Cut(rest, " ")
	}
	if strings.HasPrefix(rest, ":") {
		m.from, rest, _ = strings.Cut(rest[1:], " ")
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

// next reads the next message that is no chatter.
func (irc) next(w *starttls.Wire) (ircMessage, error) {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return ircMessage{}, err
		}
		m := parseIRC(line)
		if m.command == "ERROR" {
			return m, &starttls.RefusedError{Reply: []byte(line + "\r\n"), Temporary: true}
		}
		if chatter, err := m.chatter(w); !chatter || err != nil {
			return m, err
		}
	}
}

// chatter reports whether m answers nothing: notices, and numerics such as "020,
// please wait" that bear a server's name. Without one they are the replies of
// some other protocol. Pings are answered, since some servers wait for that
// before anything else.
func (m ircMessage) chatter(w *starttls.Wire) (bool, error) {
	switch m.command {
	case "NOTICE", "":
		return true, nil
	case "PING":
		return true, w.WriteLine("PONG :" + m.param(len(m.params)-1))
	case "410", "421", "451", "461", "462", "670", "691":
		return false, nil
	}
	_, err := strconv.ParseUint(m.command, 10, 16)
	return err == nil && len(m.command) == 3 && m.from != "", nil
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
	case "691", "421", "451", "461", "462":
		return h, &starttls.RefusedError{Reply: []byte(m.line + "\r\n")}
	}
	return h, &starttls.ReplyError{Expected: "670", Reply: []byte(m.line)}
}

// drain reads the chatter that came before the request. Anything else stays,
// for Wire.Ask to find.
func (irc) drain(w *starttls.Wire) error {
	for len(w.Ahead()) > 0 {
		line, err := w.PeekLine()
		if err != nil {
			return err
		}
		if chatter, err := parseIRC(line).chatter(w); !chatter || err != nil {
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
		case slices.Contains([]string{"410", "421", "451", "461", "462"}, m.command):
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

// Server refuses the session's own commands before TLS with ERROR, which ends
// the connection: clients send them in one go and then wait for a welcome, so
// that a numeric such as 451 would leave them waiting, and nobody would learn
// why.
func (p irc) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(keepVerbs("CAP", "STARTTLS", "PING", "QUIT"))
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	session := func(string) bool { // the line is there by now, and may begin with a prefix
		line, err := w.PeekLine()
		return err == nil && parseIRC(line).isSession()
	}
	out.TLS, err = serveLines(w, offer, session, func(name, arg, line string) (bool, error) {
		return p.clear(w, h, offer, parseIRC(line))
	})
	return out, err
}

// isSession tells what belongs to the session proper. Of CAP all but the list
// does: it changes the session.
func (m ircMessage) isSession() bool {
	switch m.command {
	case "NICK", "USER", "PASS", "AUTHENTICATE":
		return true
	case "CAP":
		return !strings.EqualFold(m.param(0), "LS")
	}
	return false
}

// clear answers one message before TLS. It reports whether TLS is next.
func (p irc) clear(w *starttls.Wire, h starttls.Hello, offer starttls.Offer, m ircMessage) (bool, error) {
	server := ":" + w.ServerName() + " "
	switch m.command {
	case "CAP":
		if strings.EqualFold(m.param(0), "LS") {
			return false, p.sendCapabilities(w, p.capsBefore(h, offer))
		}
		return refuseLine(w, server+"CAP * NAK :"+m.param(1))
	case "STARTTLS":
		switch offer.Mode {
		case starttls.Hide:
			return refuseLine(w, server+"421 * STARTTLS :Unknown command")
		case starttls.Decline:
			return refuseLine(w, server+override(offer, "691 * :TLS is not available now"))
		}
		return true, w.GoAhead([]byte(server + override(offer, "670 * :STARTTLS successful, go ahead with TLS") + "\r\n"))
	case "PING":
		return false, w.WriteLine(server + "PONG " + w.ServerName() + " :" + m.param(0))
	case "QUIT":
		w.WriteLine("ERROR :Bye")
		return false, starttls.ErrNotUpgraded
	case "NICK", "USER", "PASS", "AUTHENTICATE":
		w.WriteLine("ERROR :Say STARTTLS first: nothing is accepted in clear")
		return false, starttls.ErrNotUpgraded
	}
	if isHTTP(m.line) {
		w.WriteLine("ERROR :This is a chat server")
		return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(m.line)}
	}
	return refuseLine(w, server+"421 * * :Unknown command") // an echo could be of a secret
}

// capsBefore is what is listed in clear: sign-in only where the session can be
// in clear too.
func (p irc) capsBefore(h starttls.Hello, offer starttls.Offer) []string {
	caps := h.Caps
	if offer.Mode == starttls.Grant || offer.Mode == starttls.Decline {
		caps = slices.DeleteFunc(slices.Clone(caps), func(c string) bool {
			name, _, _ := strings.Cut(c, "=")
			return strings.EqualFold(name, "sasl")
		})
	} else if len(h.Auth) > 0 {
		caps = append(slices.Clone(caps), "sasl="+strings.Join(h.Auth, ","))
	}
	return capsBefore(caps, offer, "tls")
}

func (irc) sendCapabilities(w *starttls.Wire, caps []string) error {
	return w.WriteLine(":" + w.ServerName() + " CAP * LS :" + strings.Join(caps, " "))
}

// Injection asks for capabilities that nobody has: what is refused is named, and
// CAP is spoken before registration, which PING is not everywhere.
func (irc) Injection(_, marker string) starttls.Injection {
	return starttls.Injection{
		Probe:    []byte("CAP REQ :" + marker + "\r\n"),
		Control:  []byte("CAP REQ :" + twin(marker) + "\r\n"),
		Classify: classifyHolds(twin(marker), marker),
	}
}
