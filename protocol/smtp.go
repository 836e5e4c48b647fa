package protocol

import (
	"slices"
	"strings"

	"example.org/starttls"
)

// SMTP between mail servers, RFC 3207. On a public port 25 TLS must not be
// required (section 4): give its server Offer.Mode Optional.
var SMTP = register(smtp{info: starttls.Info{
	Name: "smtp", Aliases: []string{"esmtp", "mx"}, Port: 25, ImplicitTLS: 465, Title: "SMTP, mail between servers",
	Reference: "RFC 3207", ServerFirst: true, HelloInTLS: true, HidesAuth: true, Role: starttls.Relay, MX: true, Greeting: "220 ready ESMTP\r\n",
}})

// Submission is SMTP as mail clients speak it, RFC 6409.
var Submission = register(smtp{info: starttls.Info{
	Name: "submission", Aliases: []string{"msa"}, Port: 587, ImplicitTLS: 465, SRV: "submission", SRVImplicit: "submissions", Title: "SMTP, mail from its author",
	Reference: "RFC 3207", ServerFirst: true, HelloInTLS: true, HidesAuth: true, Greeting: "220 ready ESMTP\r\n",
}})

// LMTP is local delivery, RFC 2033.
var LMTP = register(smtp{lmtp: true, info: starttls.Info{
	Name: "lmtp", Port: 24, Title: "LMTP, mail into mailboxes",
	Reference: "RFC 2033, RFC 3207", ServerFirst: true, HelloInTLS: true, HidesAuth: true, Greeting: "220 ready LMTP\r\n",
}})

type smtp struct {
	info starttls.Info
	lmtp bool
}

func (p smtp) Info() starttls.Info { return p.info }

func (p smtp) hello() string {
	if p.lmtp {
		return "LHLO"
	}
	return "EHLO"
}

func (p smtp) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	r, err := readCodeReply(w, "a greeting")
	h.Greeting = r.raw
	if err != nil {
		return h, err
	}
	if r.code != 220 {
		return h, r.refused()
	}
	_, h.Software, _ = strings.Cut(r.lines[0], " ")
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := p.capabilities(w, &h); err != nil {
		return h, err
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	if err := w.Ask([]byte("STARTTLS\r\n")); err != nil {
		return h, err
	}
	if r, err = readCodeReply(w, "a reply to STARTTLS"); err != nil {
		return h, err
	}
	if r.code != 220 {
		return h, r.refused()
	}
	return h, nil
}

// capabilities sends EHLO and reads the answer into h. A server that does not
// know EHLO has no extensions; HELO would not show any, so it is not tried.
func (p smtp) capabilities(w *starttls.Wire, h *starttls.Hello) error {
	var r codeReply
	if err := r.ask(w, p.hello()+" "+w.LocalName()); err != nil {
		return err
	}
	if r.code == 500 || r.code == 502 || r.code == 504 {
		return nil
	}
	if r.code != 250 {
		return r.refused()
	}
	_, h.ClientSeen, _ = strings.Cut(r.lines[0], " ") // the first line is no capability (RFC 5321, section 4.1.1.1)
	for _, c := range r.lines[1:] {
		h.Caps = append(h.Caps, c)
		word, arg := verb(strings.Replace(c, "AUTH=", "AUTH ", 1))
		switch word {
		case "STARTTLS":
			h.Offered = true
		case "AUTH":
			h.Auth = appendNew(h.Auth, strings.Fields(strings.ToUpper(arg))...)
		}
	}
	return nil
}

func (p smtp) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	return h, p.capabilities(w, &h)
}

func (p smtp) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(keepVerbs("EHLO", "LHLO", "HELO", "STARTTLS", "NOOP", "RSET", "QUIT", "HELP"))
	if err := p.greet(w, h); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	out.TLS, err = serveLines(w, offer, p.isSession, func(name, arg, line string) (bool, error) {
		if name == p.hello() && arg != "" {
			out.Peer = arg
		}
		return p.clear(w, h, offer, out.Peer, name, arg, line)
	})
	return out, err
}

// forProxies reports whether a capability is for the proxies that a server knows:
// a gateway's clients, who see its backend's list, are none.
func forProxies(word string) bool { return word == "XCLIENT" || word == "XFORWARD" }

func (p smtp) greet(w *starttls.Wire, h starttls.Hello) error {
	greeting := h.Greeting
	if greeting == nil {
		kind := "ESMTP"
		if p.lmtp {
			kind = "LMTP"
		}
		greeting = []byte("220 " + strings.TrimSpace(w.ServerName()+" "+kind+" "+h.Software) + "\r\n")
	}
	_, err := w.Write(greeting)
	return err
}

// isSession tells the commands that belong to the session proper.
func (p smtp) isSession(name string) bool {
	switch name {
	case "MAIL", "RCPT", "DATA", "BDAT", "AUTH", "VRFY", "EXPN", "ETRN", "HELO":
		return true
	}
	return false
}

// clear answers one command before TLS (RFC 3207, section 4). It reports
// whether TLS is next.
func (p smtp) clear(w *starttls.Wire, h starttls.Hello, offer starttls.Offer, peer, name, arg, line string) (bool, error) {
	switch {
	case name == p.hello() && arg == "":
		return refuseLine(w, "501 5.5.4 Syntax: "+p.hello()+" hostname")
	case name == p.hello():
		caps := slices.DeleteFunc(capsBefore(h.Caps, offer, "STARTTLS"), func(c string) bool {
			word, _ := verb(c)
			return forProxies(word) || word == "REQUIRETLS"
		})
		if signsInClear(h, offer) {
			caps = append(caps, "AUTH "+strings.Join(h.Auth, " "))
		}
		return false, p.sendCapabilities(w, caps)
	case name == "STARTTLS" && offer.Mode == starttls.Hide:
		return refuseLine(w, "502 5.5.1 Command not implemented")
	case name == "STARTTLS" && arg != "":
		return refuseLine(w, "501 5.5.4 Syntax: STARTTLS takes no parameter")
	case name == "STARTTLS" && peer == "":
		return refuseLine(w, "503 5.5.1 Send "+p.hello()+" first")
	case name == "STARTTLS" && offer.Mode == starttls.Decline:
		return refuseLine(w, override(offer, "454 4.7.0 TLS not available due to temporary reason"))
	case name == "STARTTLS":
		return true, w.GoAhead([]byte(override(offer, "220 2.0.0 Ready to start TLS") + "\r\n"))
	case name == "NOOP", name == "RSET":
		return false, w.WriteLine("250 2.0.0 OK")
	case name == "QUIT":
		w.WriteLine("221 2.0.0 Bye")
		return false, starttls.ErrNotUpgraded
	case isHTTP(line):
		w.WriteLine("502 5.7.0 This is a mail server")
		return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
	case name == "HELO" || p.isSession(name):
		return refuseLine(w, "530 5.7.0 Must issue a STARTTLS command first")
	}
	return refuseLine(w, "500 5.5.2 Command not recognised")
}

func (p smtp) sendCapabilities(w *starttls.Wire, caps []string) error {
	lines := append([]string{w.ServerName()}, caps...)
	var b strings.Builder
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		b.WriteString("250" + sep + l + "\r\n")
	}
	_, err := w.Write([]byte(b.String()))
	return err
}

// Injection: EHLO is answered by 250 alone, the unknown command by 5xx.
func (p smtp) Injection(_, marker string) starttls.Injection {
	return starttls.Injection{
		Probe:   []byte(p.hello() + " " + marker + ".invalid\r\n"),
		Control: []byte("XPRB\r\n"),
		Classify: classifyCodes(func(code int) starttls.Reply {
			return starttls.Reply{Probe: code == 250, Control: code/100 == 5}
		}),
	}
}
