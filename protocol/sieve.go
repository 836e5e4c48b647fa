package protocol

import (
	"fmt"
	"strconv"
	"strings"

	"example.org/starttls"
)

// Sieve is ManageSieve, RFC 5804. The server introduces itself again inside TLS
// (section 2.2); STARTTLS must be gone from that list only once TLS is active
// in the server's eyes, and the RFC forbids nothing about listing it.
var Sieve = register(sieve{})

type sieve struct{}

func (sieve) Info() starttls.Info {
	return starttls.Info{
		Name: "sieve", Aliases: []string{"managesieve"}, Port: 4190, SRV: "sieve", ALPN: []string{"managesieve"},
		Title: "ManageSieve, mail filters", Reference: "RFC 5804", ServerFirst: true, SpeaksAfterTLS: true, HidesAuth: true,
		Greeting: "\"IMPLEMENTATION\" \"ready\"\r\nOK\r\n",
	}
}

func (p sieve) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	h, err := p.introduction(w)
	if err != nil || ask == starttls.NoAsk {
		return h, err
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	if err := w.Ask([]byte("STARTTLS\r\n")); err != nil {
		return h, err
	}
	line, err := w.ReadLine()
	if err != nil {
		return h, err
	}
	return h, sieveStatus(line, "a reply to STARTTLS")
}

// introduction reads the list of capabilities up to OK (RFC 5804, section 1.7).
func (sieve) introduction(w *starttls.Wire) (h starttls.Hello, err error) {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return h, err
		}
		h.Greeting = append(h.Greeting, line+"\r\n"...)
		if !strings.HasPrefix(line, `"`) {
			return h, sieveStatus(line, "a capability or OK")
		}
		h.Caps = append(h.Caps, line)
		name, rest, _ := strings.Cut(line[1:], `"`)
		value := strings.Trim(strings.TrimSpace(rest), `"`)
		switch strings.ToUpper(name) {
		case "STARTTLS":
			h.Offered = true
		case "SASL":
			h.Auth = appendNew(h.Auth, strings.Fields(strings.ToUpper(value))...)
		case "IMPLEMENTATION":
			h.Software = value
		}
	}
}

// sieveStatus reads OK, NO or BYE as a whole word (RFC 5804, section 1.2).
func sieveStatus(line, what string) error {
	word, _, _ := strings.Cut(line, " ")
	switch strings.ToUpper(word) {
	case "OK":
		return nil
	case "NO", "BYE":
		return &starttls.RefusedError{Reply: []byte(line + "\r\n"), Temporary: strings.Contains(line, "TRYLATER")}
	}
	return &starttls.ReplyError{Expected: what, Reply: []byte(line)}
}

func (p sieve) Probe(w *starttls.Wire) (starttls.Hello, error) {
	if err := w.WriteLine("CAPABILITY"); err != nil {
		return starttls.Hello{}, err
	}
	return p.introduction(w)
}

func (p sieve) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(keepVerbs("CAPABILITY", "STARTTLS", "NOOP", "LOGOUT"))
	if err := p.introduce(w, h, offer); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	out.TLS, err = serveLines(w, offer, p.isSession, func(name, arg, line string) (bool, error) {
		if err := imapDropLiterals(w, line, true); err != nil { // {n+} is ManageSieve's only literal
			return false, err
		}
		return p.clear(w, h, offer, name, arg, line)
	})
	return out, err
}

func (sieve) isSession(name string) bool {
	switch name {
	case "AUTHENTICATE", "PUTSCRIPT", "LISTSCRIPTS", "HAVESPACE", "SETACTIVE", "GETSCRIPT", "DELETESCRIPT", "CHECKSCRIPT":
		return true
	}
	return false
}

// clear answers one command before TLS. It reports whether TLS is next.
func (p sieve) clear(w *starttls.Wire, h starttls.Hello, offer starttls.Offer, name, arg, line string) (bool, error) {
	switch {
	case name == "CAPABILITY":
		return false, p.introduce(w, h, offer)
	case name == "STARTTLS" && offer.Mode == starttls.Hide:
		return refuseLine(w, `NO "unknown command"`)
	case name == "STARTTLS" && arg != "":
		return refuseLine(w, `NO "STARTTLS takes no argument"`)
	case name == "STARTTLS" && offer.Mode == starttls.Decline:
		return refuseLine(w, override(offer, `NO (TRYLATER) "TLS is not available now"`))
	case name == "STARTTLS":
		return true, w.GoAhead([]byte(override(offer, `OK "begin TLS"`) + "\r\n"))
	case name == "NOOP":
		return false, w.WriteLine(sieveNoop(arg))
	case name == "LOGOUT":
		w.WriteLine("OK")
		return false, starttls.ErrNotUpgraded
	case isHTTP(line):
		w.WriteLine(`BYE "this is no web server"`)
		return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
	case p.isSession(name):
		return refuseLine(w, `NO (ENCRYPT-NEEDED) "say STARTTLS first: nothing is accepted in clear"`)
	}
	return refuseLine(w, `NO "unknown command"`)
}

// sieveNoop echoes the tag asked for (RFC 5804, section 2.13).
func sieveNoop(arg string) string {
	if len(arg) > 2 && arg[0] == '"' && strings.Count(arg, `"`) == 2 && strings.HasSuffix(arg, `"`) {
		return fmt.Sprintf(`OK (TAG %s) "done"`, arg)
	}
	return "OK"
}

func (sieve) introduce(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) error {
	if h.Greeting != nil {
		_, err := w.Write(h.Greeting)
		return err
	}
	mechanisms := ""
	if offer.Mode == starttls.NoOffer || offer.Mode == starttls.Hide || offer.Mode == starttls.Optional {
		mechanisms = or(strings.Join(h.Auth, " "), "PLAIN")
	}
	lines := []string{`"IMPLEMENTATION" ` + strconv.Quote(or(h.Software, w.ServerName())), `"VERSION" "1.0"`, `"SIEVE" "fileinto"`, `"SASL" "` + mechanisms + `"`}
	if offers(offer) {
		lines = append(lines, `"`+or(offer.Keyword, "STARTTLS")+`"`)
	}
	_, err := w.Write([]byte(strings.Join(append(lines, `OK "ready"`), "\r\n") + "\r\n"))
	return err
}

// Serve speaks a minimal session without scripts.
func (p sieve) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		name, arg := verb(line)
		reply := "OK"
		switch name {
		case "LOGOUT":
			return w.WriteLine("OK")
		case "CAPABILITY":
			if err := p.introduce(w, h, starttls.Offer{Mode: starttls.NoOffer}); err != nil {
				return err
			}
			continue
		case "NOOP":
			reply = sieveNoop(arg)
		case "AUTHENTICATE":
			if reply, err = sieveAuthenticate(w, arg, sink); err != nil {
				return err
			}
		case "LISTSCRIPTS":
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = `NO "unknown command"`
		}
		if err := w.WriteLine(reply); err != nil {
			return err
		}
	}
}

// sieveAuthenticate takes PLAIN, whose message comes as a string, quoted or as
// a literal, with the command or after an empty challenge (RFC 5804, section 2.1).
func sieveAuthenticate(w *starttls.Wire, arg string, sink starttls.Sink) (string, error) {
	mechanism, initial, _ := strings.Cut(arg, " ")
	if strings.ToUpper(strings.Trim(mechanism, `"`)) != "PLAIN" {
		return `NO "unknown mechanism"`, nil
	}
	if initial == "" {
		if err := w.WriteLine(`""`); err != nil {
			return "", err
		}
		var err error
		if initial, err = w.ReadLine(); err != nil {
			return "", err
		}
	}
	initial, err := imapArguments(w, initial)
	if err != nil {
		return "", err
	}
	user, secret, ok := plainSecret(strings.Trim(initial, `"`))
	if !ok {
		return `NO "not a PLAIN message"`, nil
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PLAIN", User: user, Secret: secret})
	return "OK", nil
}

// Injection: NOOP is answered with the tag it was given (RFC 5804, section 2.13).
func (sieve) Injection(_, marker string) starttls.Injection {
	return starttls.Injection{
		Probe:    []byte(`NOOP "` + marker + "\"\r\n"),
		Control:  []byte(`NOOP "` + twin(marker) + "\"\r\n"),
		Classify: classifyHolds(twin(marker), marker),
	}
}
