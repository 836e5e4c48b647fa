package protocol

import (
	"slices"
	"strings"

	"example.org/starttls"
)

// Radmind is the access protocol of radmind, which keeps machines' files as they
// should be (radmind.8, and SPEC in its source). Whether there is TLS shows when
// it is asked for. Commands can be cut down to four letters.
var Radmind = register(radmind{})

type radmind struct{}

func (radmind) Info() starttls.Info {
	return starttls.Info{
		Name: "radmind", Port: 6222, Title: "radmind, files of many machines", Reference: "radmind access protocol, STARTTLS",
		ServerFirst: true, Unadvertised: true, Greeting: "200 RAP 1 ready\r\n",
	}
}

func (radmind) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	r, err := readCodeReply(w, "a greeting")
	h.Greeting = r.raw
	switch {
	case err != nil:
		return h, err
	case r.code/100 != 2:
		return h, r.refused()
	}
	for _, line := range r.lines {
		switch f := strings.Fields(line); {
		case len(f) > 3 && f[0] == "RAP": // version of the protocol, host, version of the server
			h.Software = "radmind " + f[3]
		case len(f) > 0 && radmindIs(f[0], "CAPABILITIES"):
			h.Caps = f[1:]
		}
	}
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := w.Ask([]byte("STARTTLS\r\n")); err != nil {
		return h, err
	}
	if r, err = readCodeReply(w, "a reply to STARTTLS"); err != nil {
		return h, err
	}
	switch {
	case r.code == 220:
		h.Offered = true
		return h, nil
	case r.code/100 == 2: // to something else
		return h, &starttls.ReplyError{Expected: "a reply to STARTTLS", Reply: r.raw}
	}
	return h, r.refused()
}

// radmindIs reports whether a word stands for a command.
func radmindIs(word, command string) bool {
	return len(word) >= 4 && len(word) <= len(command) && strings.EqualFold(word, command[:len(word)])
}

// Probe says NOOP: what the server has it told in its greeting, which is not
// given again inside TLS.
func (radmind) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var r codeReply
	err := r.ask(w, "NOOP")
	if err == nil && r.code/100 != 2 {
		err = r.refused()
	}
	return starttls.Hello{}, err
}

// Injection: NOOP is answered by 202 alone, the unknown command by 5xx.
func (radmind) Injection(_, _ string) starttls.Injection {
	return starttls.Injection{
		Probe:   []byte("NOOP\r\n"),
		Control: []byte("XPRB\r\n"),
		Classify: classifyCodes(func(code int) starttls.Reply {
			return starttls.Reply{Probe: code == 202, Control: code/100 == 5}
		}),
	}
}

func (p radmind) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(keepVerbs("STARTTLS", "NOOP", "HELP", "QUIT"))
	greeting := h.Greeting
	if greeting == nil {
		caps := h.Caps
		if caps == nil {
			caps = []string{"REPO"}
		}
		greeting = []byte("200-RAP 1 " + w.ServerName() + " " + or(h.Software, "starttls") + " radmind access protocol\r\n200 CAPA " + strings.Join(caps, " ") + "\r\n")
	}
	if _, err := w.Write(greeting); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	out.TLS, err = serveLines(w, offer, radmindSession, func(name, arg, line string) (bool, error) {
		starts := radmindIs(name, "STARTTLS")
		switch {
		case starts && offer.Mode == starttls.Decline:
			return refuseLine(w, override(offer, "420 TLS is not available now"))
		case starts && arg != "" && offer.Mode != starttls.Hide:
			return refuseLine(w, "501 Syntax error (no parameters allowed)")
		case starts && offer.Mode != starttls.Hide:
			return true, w.GoAhead([]byte(override(offer, "220 Ready to start TLS") + "\r\n"))
		case name == "QUIT":
			w.WriteLine("201 QUIT OK, closing connection")
			return false, starttls.ErrNotUpgraded
		case name == "NOOP":
			return false, w.WriteLine("202 NOOP OK")
		case isHTTP(line):
			w.WriteLine("500 This is no web server")
			return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
		case radmindSession(name):
			return refuseLine(w, "530 Must issue a STARTTLS command first")
		}
		return refuseLine(w, "500 Command unrecognized")
	})
	return out, err
}

// radmindSession tells the commands that belong to the session proper.
func radmindSession(name string) bool {
	return slices.ContainsFunc([]string{"STATUS", "RETRIEVE", "STORE", "REPORT", "LOGIN", "COMPRESS"}, func(c string) bool { return radmindIs(name, c) })
}

// Serve speaks a session with no files.
func (radmind) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		name, arg := verb(line)
		reply := ""
		switch {
		case name == "QUIT":
			return w.WriteLine("201 QUIT OK, closing connection")
		case name == "NOOP":
			reply = "202 NOOP OK"
		case radmindIs(name, "LOGIN"):
			user, secret, _ := strings.Cut(arg, " ")
			sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "LOGIN", User: user, Secret: []byte(secret)})
			reply = "205 " + user + " successfully logged in"
		case radmindIs(name, "REPORT"):
			sink.Tell(starttls.Leak{What: "metadata"})
			reply = "215 Report successful"
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = "500 Command unrecognized"
			if radmindSession(name) {
				reply = "500 No access"
			}
		}
		if err := w.WriteLine(reply); err != nil {
			return err
		}
	}
}
