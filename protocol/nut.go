package protocol

import (
	"strings"

	"example.org/starttls"
)

// NUT is Network UPS Tools' protocol between upsd and its clients, RFC 9271.
// The server says nothing unasked and advertises nothing: whether it has TLS
// shows when it is asked for it. Lines end in LF.
var NUT = register(nut{})

type nut struct{}

func (nut) Info() starttls.Info {
	return starttls.Info{
		Name: "nut", Aliases: []string{"upsd", "ups"}, Port: 3493, Title: "NUT, power supplies", Reference: "RFC 9271", LF: true, Unadvertised: true,
	}
}

func (p nut) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := w.Ask([]byte("STARTTLS\n")); err != nil {
		return h, err
	}
	line, err := w.ReadLine()
	if err != nil {
		return h, err
	}
	switch name, arg := verb(line); {
	case name == "OK" && arg == "STARTTLS":
		h.Offered = true
		return h, nil
	case name == "ERR":
		return h, &starttls.RefusedError{Reply: []byte(line + "\n")}
	}
	return h, &starttls.ReplyError{Expected: "OK STARTTLS or ERR", Reply: []byte(line)}
}

// Probe asks for the version and for the commands (RFC 9271, section 4.2).
func (p nut) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	answer := func(command string) (string, error) {
		if err := writeLF(w, command); err != nil {
			return "", err
		}
		line, err := w.ReadLine()
		if err == nil && strings.HasPrefix(line, "ERR ") {
			line = ""
		}
		return line, err
	}
	var err error
	if h.Software, err = answer("VER"); err != nil {
		return h, err
	}
	commands, err := answer("HELP")
	_, list, _ := strings.Cut(commands, ":")
	h.Caps = strings.Fields(list) // what upsd was built for: STARTTLS stands there inside TLS too
	for _, c := range h.Caps {
		if c == "USERNAME" {
			h.Auth = []string{"USERNAME"}
		}
	}
	return h, err
}

func (p nut) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(keepVerbs("STARTTLS", "VER", "NETVER", "HELP", "LOGOUT"))
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	out.TLS, err = serveLines(w, offer, nutSession, func(name, arg, line string) (bool, error) {
		switch {
		case name == "STARTTLS" && (offer.Mode == starttls.Hide || offer.Mode == starttls.Decline):
			return refuseLF(w, override(offer, "ERR FEATURE-NOT-CONFIGURED"))
		case name == "STARTTLS" && arg != "":
			return refuseLF(w, "ERR INVALID-ARGUMENT")
		case name == "STARTTLS":
			return true, w.GoAhead([]byte(override(offer, "OK STARTTLS") + "\n"))
		case name == "LOGOUT":
			writeLF(w, "OK Goodbye")
			return false, starttls.ErrNotUpgraded
		case isHTTP(line):
			writeLF(w, "ERR UNKNOWN-COMMAND")
			return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
		case nutSession(name):
			return refuseLF(w, "ERR ACCESS-DENIED")
		}
		if reply := nutTells(h, name); reply != "" {
			return false, writeLF(w, reply)
		}
		return refuseLF(w, "ERR UNKNOWN-COMMAND")
	})
	return out, err
}

// nutSession tells the commands that belong to the session proper.
func nutSession(name string) bool {
	switch name {
	case "USERNAME", "PASSWORD", "LOGIN", "PRIMARY", "MASTER", "FSD", "SET", "INSTCMD", "GET", "LIST":
		return true
	}
	return false
}

// nutTells is the answer to what everybody may ask.
func nutTells(h starttls.Hello, name string) string {
	switch name {
	case "VER":
		return or(h.Software, "Network UPS Tools upsd (starttls)")
	case "NETVER", "PROTVER":
		return "1.3"
	case "HELP":
		return "Commands: HELP VER GET LIST SET INSTCMD LOGIN LOGOUT USERNAME PASSWORD STARTTLS"
	}
	return ""
}

// refuseLF is refuseLine where lines end in LF.
func refuseLF(w *starttls.Wire, reply string) (bool, error) {
	if err := writeLF(w, reply); err != nil {
		return false, err
	}
	return false, w.Refused()
}

// Serve speaks a minimal session without a power supply.
func (p nut) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	var user string
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		name, arg := verb(line)
		reply := nutTells(h, name)
		switch name {
		case "LOGOUT":
			return writeLF(w, "OK Goodbye")
		case "USERNAME":
			sink.Tell(starttls.Leak{What: "metadata", User: arg})
			user, reply = arg, "OK"
		case "PASSWORD":
			sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PASSWORD", User: user, Secret: []byte(arg)})
			reply = "OK"
		case "LIST":
			if arg == "UPS" {
				reply = "BEGIN LIST UPS\nEND LIST UPS"
			} else {
				reply = "ERR UNKNOWN-UPS"
			}
		case "LOGIN", "PRIMARY", "MASTER", "FSD", "SET", "INSTCMD", "GET":
			reply = "ERR UNKNOWN-UPS"
		case "STARTTLS":
			reply = "ERR ALREADY-SSL-MODE"
			if !w.TLS() {
				reply = "ERR FEATURE-NOT-CONFIGURED"
			}
		}
		if reply == "" {
			if err := w.Refused(); err != nil {
				return err
			}
			reply = "ERR UNKNOWN-COMMAND"
		}
		if err := writeLF(w, reply); err != nil {
			return err
		}
	}
}

// Injection: VER is answered with the server's name and version.
func (nut) Injection(_, _ string) starttls.Injection {
	return starttls.Injection{
		Probe:    []byte("VER\n"),
		Control:  []byte("XPRB\n"),
		Classify: classifyHolds("ERR UNKNOWN-COMMAND", "Network UPS Tools"),
	}
}
