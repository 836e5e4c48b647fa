package protocol

import (
	"strings"

	"example.org/starttls"
)

// tagged is what ACAP and MUPDATE have in common: commands with a tag, as in
// IMAP, and a banner that tells the capabilities and is given again inside TLS.
type tagged struct {
	info    starttls.Info
	read    func(*starttls.Wire) (starttls.Hello, error)                   // the banner
	banner  func(w *starttls.Wire, h starttls.Hello, caps []string) []byte // the same, to be said
	caps    []string                                                       // listed by default
	session []string                                                       // commands of the session proper
	bye     string                                                         // the last words
}

func (p tagged) Info() starttls.Info { return p.info }

func (p tagged) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	h, err := p.read(w)
	if err != nil || ask == starttls.NoAsk {
		return h, err
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	if err := w.Ask([]byte(imapTLSTag + " STARTTLS\r\n")); err != nil {
		return h, err
	}
	line, err := imapTagged(w, imapTLSTag, nil)
	if err == nil && !imapOK(line) {
		err = taggedRefused(line)
	}
	return h, err
}

func taggedRefused(line string) error {
	return &starttls.RefusedError{Reply: []byte(line + "\r\n"), Temporary: strings.Contains(strings.ToUpper(line), "TRYLATER")}
}

// Probe says NOOP: what the server has it told in its banner inside TLS.
func (p tagged) Probe(w *starttls.Wire) (starttls.Hello, error) {
	if err := w.WriteLine(imapCapTag + " NOOP"); err != nil {
		return starttls.Hello{}, err
	}
	_, err := imapTagged(w, imapCapTag, nil)
	return starttls.Hello{}, err
}

func (p tagged) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(imapRedact)
	if err := p.greet(w, h, offer); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	session := func(string) bool { // the verb is behind the tag
		line, err := w.PeekLine()
		_, name, _ := imapCommand(line)
		return err == nil && p.isSession(name)
	}
	out.TLS, err = serveLines(w, offer, session, func(_, _, line string) (bool, error) {
		if err := imapDropLiterals(w, line, true); err != nil {
			return false, err
		}
		tag, name, arg := imapCommand(line)
		return p.clear(w, offer, tag, name, arg, line)
	})
	return out, err
}

func (p tagged) isSession(name string) bool {
	for _, s := range p.session {
		if s == name {
			return true
		}
	}
	return false
}

func (p tagged) greet(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) error {
	greeting := h.Greeting
	if greeting == nil {
		caps := h.Caps
		if caps == nil {
			caps = p.caps
		}
		if offer.Mode == starttls.Grant || offer.Mode == starttls.Decline {
			caps = capsBefore(withoutSASL(caps), offer, "STARTTLS")
		} else if caps = capsInside(caps, "STARTTLS"); offer.Mode == starttls.Optional {
			caps = append(caps, or(offer.Keyword, "STARTTLS"))
		}
		greeting = p.banner(w, h, caps)
	}
	_, err := w.Write(greeting)
	return err
}

func withoutSASL(caps []string) []string {
	var out []string
	for _, c := range caps {
		if name, _ := verb(c); name != "SASL" {
			out = append(out, c)
		}
	}
	return out
}

// clear answers one command before TLS. It reports whether TLS is next.
func (p tagged) clear(w *starttls.Wire, offer starttls.Offer, tag, name, arg, line string) (bool, error) {
	switch {
	case name == "STARTTLS" && offer.Mode == starttls.Hide:
		return refuseLine(w, tag+` BAD "unknown command"`)
	case name == "STARTTLS" && arg != "":
		return refuseLine(w, tag+` BAD "STARTTLS takes no argument"`)
	case name == "STARTTLS" && offer.Mode == starttls.Decline:
		return refuseLine(w, tag+" "+override(offer, `NO (TRYLATER) "TLS is not available now"`))
	case name == "STARTTLS":
		return true, w.GoAhead([]byte(tag + " " + override(offer, `OK "begin TLS"`) + "\r\n"))
	case name == "NOOP":
		return false, w.WriteLine(tag + ` OK "done"`)
	case name == "LOGOUT":
		w.WriteLine(strings.ReplaceAll(p.bye, "TAG", tag))
		return false, starttls.ErrNotUpgraded
	case isHTTP(line):
		w.WriteLine(`* BYE "this is no web server"`)
		return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
	case p.isSession(name):
		return refuseLine(w, tag+` NO (ENCRYPT-NEEDED) "say STARTTLS first: nothing is accepted in clear"`)
	}
	return refuseLine(w, tag+` BAD "unknown command"`)
}

// Serve speaks a minimal session without data.
func (p tagged) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		tag, name, arg := imapCommand(line)
		if arg, err = imapArguments(w, arg); err != nil {
			return err
		}
		reply := tag + ` OK "done"`
		switch {
		case name == "LOGOUT":
			return w.WriteLine(strings.ReplaceAll(p.bye, "TAG", tag))
		case name == "AUTHENTICATE":
			if reply, err = taggedAuthenticate(w, tag, arg, sink); err != nil {
				return err
			}
		case name == "NOOP" || p.isSession(name):
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = tag + ` BAD "unknown command"`
		}
		if err := w.WriteLine(reply); err != nil {
			return err
		}
	}
}

// taggedAuthenticate takes PLAIN, whose message is a string, with the command
// or after an empty challenge: the bytes themselves in ACAP (RFC 2244, section
// 6.3.1), base64 in MUPDATE (RFC 3656, section 4.2).
func taggedAuthenticate(w *starttls.Wire, tag, arg string, sink starttls.Sink) (string, error) {
	mechanism, initial, _ := strings.Cut(arg, " ")
	if strings.ToUpper(strings.Trim(mechanism, `"`)) != "PLAIN" {
		return tag + ` NO "unknown mechanism"`, nil
	}
	if initial == "" {
		if err := w.WriteLine(`+ ""`); err != nil {
			return "", err
		}
		line, err := w.ReadLine()
		if err != nil {
			return "", err
		}
		if initial, err = imapArguments(w, line); err != nil {
			return "", err
		}
	}
	initial = strings.Trim(initial, `"`)
	user, secret, ok := plainSecret(initial)
	if parts := strings.Split(initial, "\x00"); !ok && len(parts) == 3 {
		user, secret, ok = parts[1], []byte(parts[2]), true
	}
	if !ok {
		return tag + ` BAD "not a PLAIN message"`, nil
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PLAIN", User: user, Secret: secret})
	return tag + ` OK "signed in"`, nil
}

func (p tagged) Injection(_, marker string) starttls.Injection { return imapInjection(marker) }
