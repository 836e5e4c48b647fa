package protocol

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// dialogueKeyword is a word that a line of a dialogue's file begins with.
type dialogueKeyword struct {
	many           bool   // it may stand more than once
	behind, before string // the keyword that must have been there, or must not
	set            func(f *dialogueFile, value string) error
}

var dialogueKeywords = map[string]dialogueKeyword{
	// Of the protocol, anywhere.
	"name":  {set: (*dialogueFile).setName},
	"port":  {set: (*dialogueFile).setPort},
	"end":   {set: (*dialogueFile).setEnd},
	"more":  {set: func(f *dialogueFile, v string) error { return f.pattern(&f.more, v) }},
	"later": {set: func(f *dialogueFile, v string) error { return f.pattern(&f.later, v) }},
	"offer": {set: (*dialogueFile).setOffer},
	"note":  {many: true, set: (*dialogueFile).addNote},
	"deny":  {set: (*dialogueFile).setDeny},

	// Turn by turn.
	"expect": {many: true, set: func(f *dialogueFile, v string) error { return f.await(v, false) }},
	"until":  {many: true, set: func(f *dialogueFile, v string) error { return f.await(v, true) }},
	"says":   {many: true, set: (*dialogueFile).addSays},
	"send":   {many: true, before: "ask", set: (*dialogueFile).addSend},
	"ask":    {set: (*dialogueFile).setAsk},
	"go":     {behind: "ask", set: (*dialogueFile).setGo},
	"probe":  {many: true, behind: "go", before: "inject", set: (*dialogueFile).addProbe},
	"inject": {behind: "probe", set: (*dialogueFile).setInject},
}

func (f *dialogueFile) setName(v string) error {
	if ok, _ := regexp.MatchString(`^[a-z][a-z0-9+.-]{0,31}$`, v); !ok { // RFC 3986, section 3.1
		return f.errorf("the name %q is no URL scheme: a small letter, then small letters, digits, \"+\", \"-\" and \".\", 32 at most", v)
	}
	f.info.Name = v
	return nil
}

func (f *dialogueFile) setPort(v string) error {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return f.errorf("port %q is not a number from 1 to 65535", v)
	}
	f.info.Port = int(n)
	return nil
}

func (f *dialogueFile) setEnd(v string) error {
	if v != "lf" && v != "crlf" {
		return f.errorf("lines end in lf or crlf, not in %q", v)
	}
	if f.info.LF = v == "lf"; f.info.LF {
		f.end = "\n"
	}
	return nil
}

// pattern reads a regular expression.
func (f *dialogueFile) pattern(to **regexp.Regexp, v string) error {
	if v == "" {
		return f.errorf("the regular expression is missing")
	}
	re, err := regexp.Compile(v)
	if err != nil {
		return f.errorf("%v", err)
	}
	*to = re
	return nil
}

func (f *dialogueFile) setOffer(v string) error {
	f.info.Unadvertised = false
	return f.pattern(&f.offer, v)
}

func (f *dialogueFile) addNote(v string) error {
	var re *regexp.Regexp
	if err := f.pattern(&re, v); err != nil {
		return err
	}
	named := false
	for _, name := range re.SubexpNames() {
		if name != "" && dialogueNotes[name] == nil {
			return f.errorf("nothing is noted as %q: name the groups cap, auth, software or client", name)
		}
		named = named || name != ""
	}
	if !named {
		return f.errorf("no group has a name, as in (?P<cap>...): cap, auth, software or client")
	}
	f.notes = append(f.notes, re)
	return nil
}

func (f *dialogueFile) setDeny(v string) error {
	f.deny = v
	return f.placeholders(v, "server", "local")
}

// dialoguePlaceholder is compiled when a dialogue is read: every command would
// wait for it if that were done at its start.
var dialoguePlaceholder = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\{([a-z]+)\}`) })

// placeholders refuses those that are not allowed in a line to be said.
func (f *dialogueFile) placeholders(v string, allowed ...string) error {
	for _, m := range dialoguePlaceholder().FindAllStringSubmatch(v, -1) {
		if !slices.Contains(allowed, m[1]) {
			return f.errorf("%s is no placeholder here; {%s} is", m[0], strings.Join(allowed, "} or {"))
		}
	}
	return nil
}

// await adds to the current turn what a client waits for. Before anything is
// said it is the greeting.
func (f *dialogueFile) await(v string, until bool) error {
	switch f.at {
	case nil:
		f.at, f.greeting.line = &f.greeting, f.line
	case &f.ask:
		return f.errorf("the answer to \"ask\" is \"go\"")
	}
	return f.addStep(v, until)
}

func (f *dialogueFile) addStep(v string, until bool) error {
	s := dialogueStep{until: until}
	err := f.pattern(&s.Regexp, v)
	f.at.steps = append(f.at.steps, s)
	return err
}

func (f *dialogueFile) addSays(v string) error {
	if f.at == nil || len(f.at.steps) == 0 {
		return f.errorf("\"says\" belongs behind what it answers: \"expect\", \"until\" or \"go\"")
	}
	f.at.says = append(f.at.says, v)
	return f.placeholders(v, "server", "local")
}

// command begins a turn with what the client says.
func (f *dialogueFile) command(v string, allowed ...string) (dialogueTurn, error) {
	heard := strings.NewReplacer(`\{local\}`, `(\S+)`, `\{server\}`, `\S+`, `\{marker\}`, `\S+`).Replace(regexp.QuoteMeta(v))
	t := dialogueTurn{line: f.line, command: v, heard: regexp.MustCompile("(?i)^" + heard + "$")}
	return t, f.placeholders(v, allowed...)
}

func (f *dialogueFile) addSend(v string) error {
	t, err := f.command(v, "server", "local")
	f.clear = append(f.clear, t)
	f.at = &f.clear[len(f.clear)-1]
	return err
}

func (f *dialogueFile) setAsk(v string) (err error) {
	f.ask, err = f.command(v, "server", "local")
	f.at = &f.ask
	return err
}

func (f *dialogueFile) setGo(v string) error { return f.addStep(v, false) }

func (f *dialogueFile) addProbe(v string) error {
	t, err := f.command(v, "server", "local")
	f.probe = append(f.probe, t)
	f.at = &f.probe[len(f.probe)-1]
	return err
}

func (f *dialogueFile) setInject(v string) (err error) {
	f.inject, err = f.command(v, "server", "local", "marker")
	f.at = &f.inject
	return err
}
