package protocol

import (
	"strings"

	"example.org/starttls"
)

// Citadel is the groupware's own protocol, as its documentation describes it
// (docs.citadel.org, "Application Layer Protocol": STLS). Nothing is advertised:
// whether there is TLS shows when it is asked for. Lines end in LF.
var Citadel = register(citadel{})

type citadel struct{}

func (citadel) Info() starttls.Info {
	return starttls.Info{
		Name: "citadel", Port: 504, Title: "Citadel, groupware", Reference: "Citadel protocol, STLS",
		ServerFirst: true, LF: true, Unadvertised: true, Greeting: "200 ready\n",
	}
}

// citadelReply reads a line of three digits and text.
func citadelReply(w *starttls.Wire, what string) (code int, text, line string, err error) {
	if line, err = w.ReadLine(); err != nil {
		return 0, "", "", err
	}
	code, _, text, ok := splitCode(line)
	if !ok {
		return 0, "", "", &starttls.ReplyError{Expected: what, Reply: []byte(line)}
	}
	return code, text, line, nil
}

func (p citadel) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	code, text, line, err := citadelReply(w, "a greeting")
	h.Greeting = []byte(line + "\n")
	switch {
	case err != nil:
		return h, err
	case code/100 != 2:
		return h, &starttls.RefusedError{Reply: h.Greeting, Temporary: code == 571} // MAX_SESSIONS_EXCEEDED
	}
	h.Software = text
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := w.Ask([]byte("STLS\n")); err != nil {
		return h, err
	}
	code, _, line, err = citadelReply(w, "a reply to STLS")
	if err != nil {
		return h, err
	}
	if code/100 != 2 {
		return h, &starttls.RefusedError{Reply: []byte(line + "\n")}
	}
	h.Offered = true
	return h, nil
}

// Probe asks for the server's description, a list that ends with 000.
func (p citadel) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	if err := writeLF(w, "INFO"); err != nil {
		return h, err
	}
	code, _, _, err := citadelReply(w, "a reply to INFO")
	if err != nil || code/100 != 1 {
		return h, err
	}
	const software = 4 // the line that names it
	for i := 0; ; i++ {
		line, err := w.ReadLine()
		if err != nil || line == "000" {
			return h, err
		}
		if i == software {
			h.Software = line
		}
	}
}

func (p citadel) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(keepVerbs("STLS", "GTLS", "INFO", "NOOP", "QUIT"))
	greeting := h.Greeting
	if greeting == nil {
		greeting = []byte("200 " + w.ServerName() + " " + or(h.Software, "Citadel server") + " ready\n")
	}
	if _, err := w.Write(greeting); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	out.TLS, err = serveLines(w, offer, citadelSession, func(name, arg, line string) (bool, error) {
		switch {
		case name == "STLS" && (offer.Mode == starttls.Hide || offer.Mode == starttls.Decline):
			return refuseLF(w, override(offer, "550 TLS not supported here"))
		case name == "STLS":
			return true, w.GoAhead([]byte(override(offer, "200 Begin TLS negotiation now") + "\n"))
		case name == "QUIT":
			writeLF(w, "200 Goodbye.")
			return false, starttls.ErrNotUpgraded
		case isHTTP(line):
			writeLF(w, "530 This is no web server")
			return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
		case citadelSession(name):
			return refuseLF(w, "550 Say STLS first: nothing is accepted in clear")
		}
		if reply := citadelTells(w, h, name, arg); reply != "" {
			return false, writeLF(w, reply)
		}
		return refuseLF(w, "530 Unknown command")
	})
	return out, err
}

// citadelSession tells the commands that belong to the session proper.
func citadelSession(name string) bool {
	switch name {
	case "USER", "PASS", "PAS2", "NEWU", "CREU", "LKRA", "GOTO", "MSGS", "MSG0", "ENT0", "GETU":
		return true
	}
	return false
}

// citadelTells is the answer to what everybody may ask.
func citadelTells(w *starttls.Wire, h starttls.Hello, name, arg string) string {
	switch name {
	case "NOOP":
		return "200 ok"
	case "ECHO":
		return "200 " + arg
	case "GTLS":
		if w.TLS() {
			return "200 TLS"
		}
		return "530 Session is not encrypted."
	case "INFO":
		return strings.Join([]string{"100 Server info:", "1", "demo", "Demo", w.ServerName(), or(h.Software, "Citadel server"), "000"}, "\n")
	}
	return ""
}

// Serve speaks a minimal session without rooms.
func (p citadel) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	var user string
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		name, arg := verb(line)
		reply := citadelTells(w, h, name, arg)
		switch name {
		case "QUIT":
			return writeLF(w, "200 Goodbye.")
		case "USER":
			sink.Tell(starttls.Leak{What: "metadata", User: arg})
			user, reply = arg, "300 Password required for "+arg
		case "PASS":
			sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PASS", User: user, Secret: []byte(arg)})
			reply = "200 " + user
		case "STLS":
			reply = "580 TLS is not to be had now"
		case "":
			reply = "530 Unknown command"
		}
		if reply == "" {
			if err := w.Refused(); err != nil {
				return err
			}
			reply = "530 Unknown command"
		}
		if err := writeLF(w, reply); err != nil {
			return err
		}
	}
}

// Injection: ECHO answers with what it was given.
func (citadel) Injection(_, marker string) starttls.Injection {
	return starttls.Injection{
		Probe:    []byte("ECHO " + marker + "\n"),
		Control:  []byte("ECHO " + twin(marker) + "\n"),
		Classify: classifyHolds(twin(marker), marker),
	}
}
