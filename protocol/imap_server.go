package protocol

import (
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
)

func (p imap) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(imapRedact)
	if err := p.greet(w, h, offer); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	for {
		line, err := w.PeekLine()
		if err != nil {
			return out, err
		}
		tag, name, arg := imapCommand(line)
		if p.isSession(name) && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional) {
			return out, nil
		}
		if _, err := w.ReadLine(); err != nil {
			return out, err
		}
		if err := imapDropLiterals(w, line, true); err != nil {
			return out, err
		}
		done, err := p.clear(w, h, offer, tag, name, arg, line)
		if done || err != nil {
			out.TLS = done
			return out, err
		}
	}
}

// imapCommand takes a command line apart. A line without a tag gets "*".
func imapCommand(line string) (tag, name, arg string) {
	tag, rest, ok := strings.Cut(line, " ")
	if !ok || tag == "" || len(tag) > 64 || strings.ContainsAny(tag, "+*(){%\"\\]") {
		return "*", "", ""
	}
	name, arg = verb(strings.TrimLeft(rest, " "))
	return tag, name, arg
}

// imapRedact keeps commands that carry no secret, and of all others the name.
func imapRedact(msg []byte) []byte {
	tag, rest, ok := strings.Cut(strings.TrimRight(string(msg), "\r\n"), " ")
	if !ok || len(tag) > 8 {
		return fmt.Appendf(nil, "[%d bytes]", len(msg))
	}
	return append([]byte(tag+" "), keepVerbs("CAPABILITY", "STARTTLS", "NOOP", "LOGOUT")([]byte(rest))...)
}

// imapDropLiterals reads the literals that line announces, and the rest of the
// message behind them. A client's come unasked only as {n+}: one that waits for
// a "+" first ({n}) gets a tagged refusal instead, and sends none.
func imapDropLiterals(w *starttls.Wire, line string, fromClient bool) error {
	for {
		n, waits, ok := imapLiteral(line)
		if !ok || waits && fromClient {
			return nil
		}
		if _, err := w.ReadN(n); err != nil {
			return err
		}
		var err error
		if line, err = w.ReadLine(); err != nil {
			return err
		}
	}
}

func (imap) isSession(name string) bool {
	switch name {
	case "LOGIN", "AUTHENTICATE", "SELECT", "EXAMINE", "LIST", "LSUB", "STATUS", "APPEND", "FETCH", "SEARCH", "ENABLE", "NAMESPACE", "UID", "COMPRESS", "CREATE", "DELETE", "RENAME", "SUBSCRIBE":
		return true
	}
	return false
}

func (p imap) greet(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) error {
	greeting := h.Greeting
	if greeting == nil {
		caps := imapBefore(h, offer)
		if offer.Mode == starttls.NoOffer {
			caps = imapInside(h)
		}
		greeting = []byte("* OK [CAPABILITY " + strings.Join(caps, " ") + "] " + or(h.Software, w.ServerName()) + " ready\r\n")
	}
	_, err := w.Write(greeting)
	return err
}

// imapBefore is what is listed before TLS: where TLS is required, LOGINDISABLED
// and no mechanism (RFC 9051, section 6.2.3).
func imapBefore(h starttls.Hello, offer starttls.Offer) []string {
	if offer.Mode == starttls.Hide || offer.Mode == starttls.Optional {
		caps := imapInside(h)
		if offer.Mode == starttls.Optional && h.Caps != nil && len(h.Auth) == 0 { // nobody signs in in clear
			caps = append(slices.DeleteFunc(caps, func(c string) bool { return strings.HasPrefix(strings.ToUpper(c), "AUTH=") }), "LOGINDISABLED")
		}
		if offer.Mode == starttls.Optional {
			caps = append(caps, or(offer.Keyword, "STARTTLS"))
		}
		return caps
	}
	caps := []string{"IMAP4rev1"}
	for _, c := range h.Caps {
		if !strings.HasPrefix(strings.ToUpper(c), "AUTH=") {
			caps = appendNew(caps, c)
		}
	}
	return appendNew(capsBefore(caps, offer, "STARTTLS"), "LOGINDISABLED")
}

func imapInside(h starttls.Hello) []string {
	if h.Caps != nil {
		return capsInside(h.Caps, "STARTTLS")
	}
	caps := []string{"IMAP4rev1"}
	for _, m := range h.Auth {
		if m != "LOGIN" { // the command, which is not listed
			caps = append(caps, "AUTH="+m)
		}
	}
	if len(h.Auth) == 0 {
		caps = append(caps, "AUTH=PLAIN")
	}
	return append(caps, "SASL-IR", "LITERAL+")
}

// clear answers one command before TLS. It reports whether TLS is next.
func (p imap) clear(w *starttls.Wire, h starttls.Hello, offer starttls.Offer, tag, name, arg, line string) (bool, error) {
	refuse := func(reply string) (bool, error) {
		if err := w.WriteLine(tag + " " + reply); err != nil {
			return false, err
		}
		return false, w.Refused()
	}
	switch {
	case name == "CAPABILITY":
		return false, w.WriteLine("* CAPABILITY " + strings.Join(imapBefore(h, offer), " ") + "\r\n" + tag + " OK done")
	case name == "STARTTLS" && offer.Mode == starttls.Hide:
		return refuse("BAD unknown command")
	case name == "STARTTLS" && arg != "":
		return refuse("BAD STARTTLS takes no argument")
	case name == "STARTTLS" && offer.Mode == starttls.Decline:
		return refuse(override(offer, "NO [UNAVAILABLE] TLS is not available now"))
	case name == "STARTTLS":
		return true, w.GoAhead([]byte(tag + " " + override(offer, "OK begin TLS") + "\r\n"))
	case name == "NOOP", name == "ID":
		return false, w.WriteLine(tag + " OK done")
	case name == "LOGOUT":
		w.WriteLine("* BYE\r\n" + tag + " OK done")
		return false, starttls.ErrNotUpgraded
	case isHTTP(line):
		w.WriteLine("* BYE this is a mail server")
		return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
	case p.isSession(name):
		return refuse("NO [PRIVACYREQUIRED] say STARTTLS first: nothing is accepted in clear")
	}
	return refuse("BAD unknown command")
}

// Serve speaks a minimal session with one empty mailbox.
func (p imap) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		tag, name, arg := imapCommand(line)
		if arg, err = imapArguments(w, arg); err != nil {
			return err
		}
		reply := tag + " OK done"
		switch name {
		case "LOGOUT":
			return w.WriteLine("* BYE\r\n" + reply)
		case "CAPABILITY":
			reply = "* CAPABILITY " + strings.Join(imapInside(h), " ") + "\r\n" + reply
		case "LOGIN":
			user, secret, _ := strings.Cut(arg, " ")
			sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "LOGIN", User: strings.Trim(user, `"`), Secret: []byte(strings.Trim(secret, `"`))})
		case "AUTHENTICATE":
			if reply, err = imapAuthenticate(w, tag, arg, sink); err != nil {
				return err
			}
		case "LIST":
			sink.Tell(starttls.Leak{What: "metadata"})
			reply = "* LIST () \"/\" INBOX\r\n" + reply
		case "SELECT", "EXAMINE":
			sink.Tell(starttls.Leak{What: "metadata"})
			reply = "* FLAGS ()\r\n* 0 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1] new\r\n" + tag + " OK [READ-ONLY] done"
		case "APPEND":
			sink.Tell(starttls.Leak{What: "content"})
		case "LSUB", "STATUS", "CREATE", "DELETE", "RENAME", "SUBSCRIBE":
			sink.Tell(starttls.Leak{What: "metadata"})
		case "NOOP", "ID", "CLOSE", "ENABLE", "SEARCH", "FETCH", "UID", "NAMESPACE":
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = tag + " BAD unknown command"
		}
		if err := w.WriteLine(reply); err != nil {
			return err
		}
	}
}

// imapArguments puts a command's literals in their place.
func imapArguments(w *starttls.Wire, arg string) (string, error) {
	for {
		n, waits, ok := imapLiteral(arg)
		if !ok {
			return arg, nil
		}
		if waits {
			if err := w.WriteLine("+ go on"); err != nil {
				return "", err
			}
		}
		b, err := w.ReadN(n)
		if err != nil {
			return "", err
		}
		rest, err := w.ReadLine()
		if err != nil {
			return "", err
		}
		arg = arg[:strings.LastIndexByte(arg, '{')] + string(b) + rest
	}
}

func imapAuthenticate(w *starttls.Wire, tag, arg string, sink starttls.Sink) (string, error) {
	mechanism, initial, _ := strings.Cut(arg, " ")
	if strings.ToUpper(mechanism) != "PLAIN" {
		return tag + " NO unknown mechanism", nil
	}
	if initial == "" {
		if err := w.WriteLine("+ "); err != nil {
			return "", err
		}
		var err error
		if initial, err = w.ReadLine(); err != nil {
			return "", err
		}
	}
	user, secret, ok := plainSecret(initial)
	if !ok {
		return tag + " BAD not a PLAIN message", nil
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PLAIN", User: user, Secret: secret})
	return tag + " OK signed in", nil
}
