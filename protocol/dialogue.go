package protocol

import (
	"errors"
	"regexp"
	"strings"

	"example.org/starttls"
)

// dialogueProtocol is a protocol made of lines that its user wrote down; see
// [ParseDialogue].
type dialogueProtocol struct {
	info   starttls.Info
	end    string           // of each line
	more   *regexp.Regexp   // a line of a reply that is not its last; nil: none
	offer  *regexp.Regexp   // a line that offers TLS; nil: nothing does
	later  *regexp.Regexp   // a line that refuses for now; nil: none
	notes  []*regexp.Regexp // what they catch goes into the Hello
	serves bool             // the file says what the server says
	deny   string           // what the server says to all that is not in the file

	greeting dialogueTurn   // with no command; without steps where the client speaks first
	clear    []dialogueTurn // from there to the request for TLS
	ask      dialogueTurn   // the request; its one step is the go-ahead
	probe    []dialogueTurn // inside TLS
	inject   dialogueTurn   // a command for the injection test
}

// dialogueTurn is one command of the client and the server's answer to it.
type dialogueTurn struct {
	line    int            // where it stands in the file
	command string         // as it is sent, but for the placeholders
	heard   *regexp.Regexp // as a server hears it
	steps   []dialogueStep // what a client waits for
	says    []string       // what a server says, line by line
}

// dialogueStep is a line to wait for: the last one of the next reply, or, with until,
// whichever it is that matches.
type dialogueStep struct {
	*regexp.Regexp
	until bool
}

// A dialogue whose file has lines for inside TLS is a Prober too, and one that
// has a line for the injection test besides is an Injector.
type (
	probingDialogue   struct{ *dialogueProtocol }
	injectingDialogue struct{ probingDialogue }
)

func (d *dialogueProtocol) Info() starttls.Info { return d.info }

func (d *dialogueProtocol) Client(w *starttls.Wire, ask starttls.Ask) (h starttls.Hello, err error) {
	h.Greeting, err = d.hear(w.ReadLine, &d.greeting, &h)
	if err != nil || ask == starttls.NoAsk {
		return h, err
	}
	if err := d.hold(w, d.clear, &h); err != nil {
		return h, err
	}
	if d.offer != nil && !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	if err := w.Ask([]byte(fillDialogue(d.ask.command, w.ServerName(), w.LocalName()) + d.end)); err != nil {
		return h, err
	}
	reply, err := d.hear(w.ReadLine, &d.ask, new(starttls.Hello))
	var unexpected *starttls.ReplyError
	if errors.As(err, &unexpected) {
		return h, &starttls.RefusedError{Reply: reply}
	}
	h.Offered = h.Offered || err == nil && d.offer == nil
	return h, err
}

// Probe holds the part of the dialogue that is for inside TLS.
func (d probingDialogue) Probe(w *starttls.Wire) (h starttls.Hello, err error) {
	return h, d.hold(w, d.probe, &h)
}

// Injection: what is injected stands in the file, and the first command of the
// probe is the control.
func (d injectingDialogue) Injection(serverName, marker string) starttls.Injection {
	command := func(t *dialogueTurn) []byte {
		text := strings.ReplaceAll(t.command, "{marker}", marker)
		return []byte(fillDialogue(text, serverName, "localhost") + d.end)
	}
	return starttls.Injection{
		Probe:   command(&d.inject),
		Control: command(&d.probe[0]),
		Classify: classifyLines(func(line string, r *starttls.Reply) {
			r.Probe = r.Probe || d.inject.answers(line)
			r.Control = r.Control || d.probe[0].answers(line)
		}),
	}
}

// classifyLines makes a Classify that looks at one whole line at a time.
func classifyLines(each func(line string, r *starttls.Reply)) func([]byte) starttls.Reply {
	return func(said []byte) (r starttls.Reply) {
		for line := range strings.Lines(string(said)) {
			if whole, ok := strings.CutSuffix(line, "\n"); ok {
				each(strings.TrimSuffix(whole, "\r"), &r)
			}
		}
		return r
	}
}

// answers reports whether line is of the answer that t awaits. One line must do
// to tell, and the first one: it is not known yet what else the server says.
func (t *dialogueTurn) answers(line string) bool { return t.steps[0].MatchString(line) }

// hold speaks the client's part of turns.
func (d *dialogueProtocol) hold(w *starttls.Wire, turns []dialogueTurn, h *starttls.Hello) error {
	for i := range turns {
		if _, err := w.Write([]byte(fillDialogue(turns[i].command, w.ServerName(), w.LocalName()) + d.end)); err != nil {
			return err
		}
		if _, err := d.hear(w.ReadLine, &turns[i], h); err != nil {
			return err
		}
	}
	return nil
}

// hear reads the server's answer in turn t, and takes down in h what it tells.
// It returns the answer as it came. An answer that is not the awaited one is a
// *RefusedError if it refuses for now, else a *ReplyError.
func (d *dialogueProtocol) hear(readLine func() (string, error), t *dialogueTurn, h *starttls.Hello) (said []byte, err error) {
	for _, s := range t.steps {
		for done := false; !done; {
			line, err := readLine()
			if err != nil {
				return said, err
			}
			said = append(said, line+d.end...)
			d.note(line, h)
			switch {
			case s.until:
				done = s.MatchString(line)
			case d.goesOn(line):
			case s.MatchString(line):
				done = true
			case d.later != nil && d.later.MatchString(line):
				return said, &starttls.RefusedError{Reply: said, Temporary: true}
			default:
				return said, &starttls.ReplyError{Expected: "a line that matches " + s.String(), Reply: []byte(line)}
			}
		}
	}
	return said, nil
}

// goesOn reports whether more of the same reply follows line.
func (d *dialogueProtocol) goesOn(line string) bool { return d.more != nil && d.more.MatchString(line) }

// note takes down what a line of the server tells of it.
func (d *dialogueProtocol) note(line string, h *starttls.Hello) {
	h.Offered = h.Offered || d.offer != nil && d.offer.MatchString(line)
	for _, n := range d.notes {
		for i, text := range n.FindStringSubmatch(line) {
			if set := dialogueNotes[n.SubexpNames()[i]]; set != nil && text != "" {
				set(h, text)
			}
		}
	}
}

// dialogueNotes are the names that a group may have, and what is done with what the
// group catches.
var dialogueNotes = map[string]func(h *starttls.Hello, text string){
	"software": func(h *starttls.Hello, text string) { h.Software = text },
	"client":   func(h *starttls.Hello, text string) { h.ClientSeen = text },
	"cap":      func(h *starttls.Hello, text string) { h.Caps = appendNew(h.Caps, text) },
	"auth": func(h *starttls.Hello, text string) {
		h.Auth = appendNew(h.Auth, strings.Fields(strings.ToUpper(text))...)
	},
}

// fillDialogue puts the two names into a line of the file.
func fillDialogue(text, server, local string) string {
	return strings.NewReplacer("{server}", server, "{local}", local).Replace(text)
}
