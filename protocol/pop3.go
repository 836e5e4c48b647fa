package protocol

import (
	"slices"
	"strings"

	"example.org/starttls"
)

// POP3 is mail access, RFC 2595 section 4. STLS listed inside TLS is no fault:
// CAPA lists what the server can do, and RFC 2595 does not forbid it.
var POP3 = register(pop3{})

type pop3 struct{}

func (pop3) Info() starttls.Info {
	return starttls.Info{
		Name: "pop3", Aliases: []string{"pop"}, Port: 110, ImplicitTLS: 995, SRV: "pop3", SRVImplicit: "pop3s", ALPN: []string{"pop3"},
		Title: "POP3, mail access", Reference: "RFC 2595", ServerFirst: true, BoundGreeting: true, HidesAuth: true, Greeting: "+OK ready\r\n",
	}
}

func (p pop3) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	line, err := w.ReadLine()
	if err != nil {
		return h, err
	}
	h.Greeting = []byte(line + "\r\n")
	ok, text, err := popStatus(line, "a greeting")
	if err != nil {
		return h, err
	}
	if !ok {
		return h, popRefused(line)
	}
	h.Software = text
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := p.capabilities(w, &h); err != nil {
		return h, err
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	if err := w.Ask([]byte("STLS\r\n")); err != nil {
		return h, err
	}
	if line, err = w.ReadLine(); err != nil {
		return h, err
	}
	if ok, _, err = popStatus(line, "a reply to STLS"); err != nil {
		return h, err
	}
	if !ok {
		return h, popRefused(line)
	}
	return h, nil
}

// popStatus reads a status indicator: "+OK" or "-ERR" as a whole word.
func popStatus(line, what string) (ok bool, text string, err error) {
	word, text, _ := strings.Cut(line, " ")
	switch word {
	case "+OK":
		return true, text, nil
	case "-ERR":
		return false, text, nil
	}
	return false, "", &starttls.ReplyError{Expected: what, Reply: []byte(line)}
}

// popRefused makes an error of -ERR. RFC 3206 marks what will pass by itself.
func popRefused(line string) error {
	temporary := strings.Contains(line, "[SYS/TEMP]") || strings.Contains(line, "[IN-USE]") || strings.Contains(line, "[LOGIN-DELAY]")
	return &starttls.RefusedError{Reply: []byte(line + "\r\n"), Temporary: temporary}
}

// capabilities sends CAPA (RFC 2449) and reads the answer into h. A server that
// does not know it offers no STLS either (RFC 2595, section 4).
func (pop3) capabilities(w *starttls.Wire, h *starttls.Hello) error {
	if err := w.WriteLine("CAPA"); err != nil {
		return err
	}
	line, err := w.ReadLine()
	if err != nil {
		return err
	}
	ok, _, err := popStatus(line, "a reply to CAPA")
	if err != nil || !ok {
		return err
	}
	for {
		if line, err = w.ReadLine(); err != nil {
			return err
		}
		if line == "." {
			return nil
		}
		h.Caps = append(h.Caps, line)
		switch name, arg := verb(line); name {
		case "STLS":
			h.Offered = true
		case "SASL":
			h.Auth = appendNew(h.Auth, strings.Fields(strings.ToUpper(arg))...)
		case "USER":
			h.Auth = appendNew(h.Auth, "USER")
		case "IMPLEMENTATION":
			h.Software = arg
		}
	}
}

func (p pop3) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	return h, p.capabilities(w, &h)
}

func (p pop3) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(keepVerbs("CAPA", "STLS", "NOOP", "QUIT"))
	greeting := h.Greeting
	if greeting == nil {
		greeting = []byte("+OK " + or(h.Software, w.ServerName()) + " ready\r\n")
	}
	if _, err := w.Write(greeting); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	out.TLS, err = serveLines(w, offer, p.isSession, func(name, arg, line string) (bool, error) {
		return p.clear(w, h, offer, name, arg, line)
	})
	return out, err
}

func (pop3) isSession(name string) bool {
	switch name {
	case "USER", "PASS", "APOP", "AUTH", "STAT", "LIST", "RETR", "DELE", "UIDL", "TOP":
		return true
	}
	return false
}

// clear answers one command before TLS. It reports whether TLS is next.
func (p pop3) clear(w *starttls.Wire, h starttls.Hello, offer starttls.Offer, name, arg, line string) (bool, error) {
	switch {
	case name == "CAPA":
		return false, p.sendCapabilities(w, capsBefore(popCaps(h, signsInClear(h, offer)), offer, "STLS"))
	case name == "STLS" && offer.Mode == starttls.Hide:
		return refuseLine(w, "-ERR unknown command")
	case name == "STLS" && arg != "":
		return refuseLine(w, "-ERR STLS takes no argument")
	case name == "STLS" && offer.Mode == starttls.Decline:
		return refuseLine(w, override(offer, "-ERR [SYS/TEMP] TLS is not available now"))
	case name == "STLS":
		return true, w.GoAhead([]byte(override(offer, "+OK begin TLS") + "\r\n"))
	case name == "NOOP":
		return false, w.WriteLine("+OK")
	case name == "QUIT":
		w.WriteLine("+OK bye")
		return false, starttls.ErrNotUpgraded
	case isHTTP(line):
		w.WriteLine("-ERR this is a mail server")
		return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
	case p.isSession(name):
		return refuseLine(w, "-ERR say STLS first: nothing is accepted in clear")
	}
	return refuseLine(w, "-ERR unknown command")
}

// popCaps is what CAPA lists: the server's own list, or the least one; what
// signs people in is left out before TLS.
func popCaps(h starttls.Hello, signIn bool) []string {
	caps := h.Caps
	if caps == nil {
		mechanisms := slices.DeleteFunc(slices.Clone(h.Auth), func(m string) bool { return m == "USER" })
		caps = []string{"UIDL", "USER", "SASL " + or(strings.Join(mechanisms, " "), "PLAIN")}
	}
	var out []string
	for _, c := range caps {
		if name, _ := verb(c); signIn || name != "USER" && name != "SASL" {
			out = append(out, c)
		}
	}
	return out
}

func (pop3) sendCapabilities(w *starttls.Wire, caps []string) error {
	_, err := w.Write([]byte(strings.Join(append(append([]string{"+OK"}, caps...), "."), "\r\n") + "\r\n"))
	return err
}

// Serve speaks a minimal session with an empty mailbox.
func (p pop3) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	var user string
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		name, arg := verb(line)
		reply := ""
		switch name {
		case "QUIT":
			return w.WriteLine("+OK bye")
		case "CAPA":
			if err := p.sendCapabilities(w, capsInside(popCaps(h, true), "STLS")); err != nil {
				return err
			}
			continue
		case "USER":
			sink.Tell(starttls.Leak{What: "metadata", User: arg})
			user, reply = arg, "+OK"
		case "APOP":
			name, digest, _ := strings.Cut(arg, " ")
			sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "APOP", User: name, Secret: []byte(digest)})
			reply = "+OK signed in"
		case "PASS":
			sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "USER", User: user, Secret: []byte(arg)})
			reply = "+OK signed in"
		case "AUTH":
			if reply, err = popAuth(w, arg, sink); err != nil {
				return err
			}
		case "STAT":
			reply = "+OK 0 0"
		case "LIST", "UIDL":
			reply = "+OK\r\n."
		case "NOOP", "RSET":
			reply = "+OK"
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = "-ERR unknown command"
		}
		if err := w.WriteLine(reply); err != nil {
			return err
		}
	}
}

// popAuth takes AUTH PLAIN, with or without an initial response (RFC 5034).
func popAuth(w *starttls.Wire, arg string, sink starttls.Sink) (reply string, err error) {
	mechanism, initial, _ := strings.Cut(arg, " ")
	if strings.ToUpper(mechanism) != "PLAIN" {
		return "-ERR unknown mechanism", nil
	}
	if initial == "" {
		if err := w.WriteLine("+ "); err != nil {
			return "", err
		}
		if initial, err = w.ReadLine(); err != nil {
			return "", err
		}
	}
	user, secret, ok := plainSecret(initial)
	if !ok {
		return "-ERR not a PLAIN message", nil
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PLAIN", User: user, Secret: secret})
	return "+OK signed in", nil
}

// Injection: CAPA alone is answered by a list, which a dot ends; it is known
// wherever STLS is (RFC 2595, section 4).
func (pop3) Injection(_, _ string) starttls.Injection {
	return starttls.Injection{
		Probe:    []byte("CAPA\r\n"),
		Control:  []byte("XPRB\r\n"),
		Classify: classifyHolds("-ERR", "\n.\r\n", "\n.\n"),
	}
}
