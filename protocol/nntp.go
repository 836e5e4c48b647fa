package protocol

import (
	"slices"
	"strings"
	"time"

	"example.org/starttls"
)

// NNTP is net news, RFC 4642. STARTTLS must not be listed once TLS is active
// (section 2.2.2).
var NNTP = register(nntp{})

type nntp struct{}

func (nntp) Info() starttls.Info {
	return starttls.Info{
		Name: "nntp", Aliases: []string{"news"}, Port: 119, ImplicitTLS: 563, ALPN: []string{"nntp"},
		Title: "NNTP, net news", Reference: "RFC 4642", ServerFirst: true, HelloInTLS: true, HidesAuth: true, Greeting: "200 ready\r\n",
	}
}

func (p nntp) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	r, err := readCodeReply(w, "a greeting")
	h.Greeting = r.raw
	if err != nil {
		return h, err
	}
	if r.code != 200 && r.code != 201 {
		return h, r.refused()
	}
	h.Software = r.lines[0]
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
	if r.code != 382 {
		return h, &starttls.RefusedError{Reply: r.raw, Temporary: r.code == 580 || r.code/100 == 4}
	}
	return h, nil
}

// capabilities sends CAPABILITIES (RFC 3977, section 5.2) and reads the answer
// into h. A server from before it answers 500 and has none.
func (nntp) capabilities(w *starttls.Wire, h *starttls.Hello) error {
	var r codeReply
	if err := r.ask(w, "CAPABILITIES"); err != nil {
		return err
	}
	if r.code != 101 {
		if r.code == 400 {
			return r.refused()
		}
		return nil
	}
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		if line == "." {
			return nil
		}
		h.Caps = append(h.Caps, line)
		switch name, arg := verb(line); name {
		case "STARTTLS":
			h.Offered = true
		case "SASL":
			h.Auth = appendNew(h.Auth, strings.Fields(strings.ToUpper(arg))...)
		case "AUTHINFO":
			if slices.Contains(strings.Fields(strings.ToUpper(arg)), "USER") {
				h.Auth = appendNew(h.Auth, "USER")
			}
		case "IMPLEMENTATION":
			h.Software = arg
		}
	}
}

func (p nntp) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	return h, p.capabilities(w, &h)
}

func (p nntp) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(keepVerbs("CAPABILITIES", "STARTTLS", "MODE", "DATE", "HELP", "QUIT"))
	greeting := h.Greeting
	if greeting == nil {
		greeting = []byte("200 " + or(h.Software, w.ServerName()) + " ready\r\n")
	}
	if _, err := w.Write(greeting); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	out.TLS, err = serveLines(w, offer, p.isSession, func(name, arg, line string) (bool, error) {
		if name == "MODE" && strings.EqualFold(arg, "READER") {
			out.Replay = []byte("MODE READER\r\n") // stays in effect (RFC 4642, section 2.2.2)
		}
		return p.clear(w, h, offer, name, arg, line)
	})
	return out, err
}

func (nntp) isSession(name string) bool {
	switch name {
	case "AUTHINFO", "GROUP", "LISTGROUP", "ARTICLE", "HEAD", "BODY", "STAT", "NEXT", "LAST", "POST", "IHAVE", "LIST", "NEWGROUPS", "NEWNEWS", "OVER", "XOVER", "HDR", "XHDR", "CHECK", "TAKETHIS":
		return true
	}
	return false
}

// clear answers one command before TLS. It reports whether TLS is next.
// STARTTLS itself is never answered by 480 or 483 (RFC 4642, section 2.2.1).
func (p nntp) clear(w *starttls.Wire, h starttls.Hello, offer starttls.Offer, name, arg, line string) (bool, error) {
	switch {
	case name == "CAPABILITIES":
		return false, p.sendCapabilities(w, capsBefore(nntpCaps(h.Caps, signsInClear(h, offer)), offer, "STARTTLS"))
	case name == "STARTTLS" && offer.Mode == starttls.Hide:
		return refuseLine(w, "500 Unknown command")
	case name == "STARTTLS" && arg != "":
		return refuseLine(w, "501 STARTTLS takes no argument")
	case name == "STARTTLS" && offer.Mode == starttls.Decline:
		return refuseLine(w, override(offer, "580 Can not initiate TLS negotiation"))
	case name == "STARTTLS":
		return true, w.GoAhead([]byte(override(offer, "382 Continue with TLS negotiation") + "\r\n"))
	case name == "MODE" && strings.EqualFold(arg, "READER"):
		return false, w.WriteLine("200 Posting allowed")
	case name == "DATE":
		return false, w.WriteLine(nntpDate())
	case name == "QUIT":
		w.WriteLine("205 Bye")
		return false, starttls.ErrNotUpgraded
	case isHTTP(line):
		w.WriteLine("400 This is a news server")
		return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
	case p.isSession(name):
		return refuseLine(w, "483 Say STARTTLS first: nothing is accepted in clear")
	}
	return refuseLine(w, "500 Unknown command")
}

func nntpDate() string { return "111 " + time.Now().UTC().Format("20060102150405") }

// nntpCaps is the server's own list, or the least one; what signs people in is
// left out before TLS.
func nntpCaps(caps []string, signIn bool) []string {
	if caps == nil {
		caps = []string{"VERSION 2", "READER", "AUTHINFO USER"}
	}
	var out []string
	for _, c := range caps {
		if name, _ := verb(c); signIn || name != "AUTHINFO" && name != "SASL" {
			out = append(out, c)
		}
	}
	return out
}

func (nntp) sendCapabilities(w *starttls.Wire, caps []string) error {
	_, err := w.Write([]byte("101 Capability list:\r\n" + strings.Join(append(caps, "."), "\r\n") + "\r\n"))
	return err
}

// Serve speaks a minimal session with no groups.
func (p nntp) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	var user string
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		name, arg := verb(line)
		var reply string
		switch name {
		case "QUIT":
			return w.WriteLine("205 Bye")
		case "CAPABILITIES":
			if err := p.sendCapabilities(w, capsInside(nntpCaps(h.Caps, true), "STARTTLS")); err != nil {
				return err
			}
			continue
		case "STARTTLS":
			reply = "502 TLS is not to be had now"
		case "MODE":
			reply = "200 Posting allowed"
		case "DATE":
			reply = nntpDate()
		case "LIST":
			reply = "215 No groups\r\n."
		case "GROUP":
			sink.Tell(starttls.Leak{What: "metadata"})
			reply = "411 No such group"
		case "POST", "IHAVE":
			sink.Tell(starttls.Leak{What: "metadata"})
			reply = "440 Posting is not permitted"
		case "AUTHINFO":
			kind, value, _ := strings.Cut(arg, " ")
			reply = "281 Signed in"
			if strings.EqualFold(kind, "USER") {
				sink.Tell(starttls.Leak{What: "metadata", User: value})
				user, reply = value, "381 Password, please"
			} else {
				sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "USER", User: user, Secret: []byte(value)})
			}
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = "500 Unknown command"
		}
		if err := w.WriteLine(reply); err != nil {
			return err
		}
	}
}

// Injection: DATE is answered by 111, or by 480 or 483 where one must sign in or
// encrypt first; the unknown command by 500.
func (nntp) Injection(_, _ string) starttls.Injection {
	return starttls.Injection{
		Probe:   []byte("DATE\r\n"),
		Control: []byte("CAPABILITIES\r\n"), // answered without a sign-in, as little else is
		Classify: classifyCodes(func(code int) starttls.Reply {
			return starttls.Reply{Probe: code == 111 || code == 480 || code == 483, Control: code == 101}
		}),
	}
}
