package protocol

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.org/starttls"
)

// dialogueSize is the most that a dialogue's file may have, in bytes.
const dialogueSize = 64 << 10

// A DialogueError says what is wrong in a dialogue's file.
type DialogueError struct {
	Line    int      // from 1; 0 if it is the file as a whole
	Problem string   // in lower case, without the line
	Word    string   // the keyword that is not known, if that is the problem
	Known   []string // and those that are, sorted
}

func (e *DialogueError) Error() string {
	if e.Line == 0 {
		return e.Problem
	}
	return "line " + strconv.Itoa(e.Line) + ": " + e.Problem
}

// ParseDialogue makes a protocol of its description: what a client says and
// awaits, line by line, up to the go-ahead for TLS, and what it may ask inside.
// docs/dialogue.md describes the language. If the file also has what the server
// says, the protocol's server half and its Host speak that; else they return an
// error. It is a Prober if the file has lines for inside TLS, and an Injector if
// it has one for the injection test. r may give 64 KiB at most. What is wrong in
// the file is a *DialogueError.
func ParseDialogue(r io.Reader) (starttls.Protocol, error) {
	b, err := io.ReadAll(io.LimitReader(r, dialogueSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > dialogueSize {
		return nil, &DialogueError{Problem: fmt.Sprintf("the file has more than %d bytes", dialogueSize)}
	}
	f := &dialogueFile{seen: map[string]bool{}}
	f.end = "\r\n"
	f.info = starttls.Info{Title: "as its dialogue says", Reference: "a dialogue", Unadvertised: true}
	for line := range strings.SplitSeq(string(b), "\n") {
		f.line++
		if err := f.read(strings.TrimSuffix(line, "\r")); err != nil {
			return nil, err
		}
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	p := probingDialogue{&f.dialogueProtocol}
	switch {
	case f.seen["inject"]:
		return injectingDialogue{p}, nil
	case f.seen["probe"]:
		return p, nil
	}
	return &f.dialogueProtocol, nil
}

// dialogueFile is a file that is being read.
type dialogueFile struct {
	dialogueProtocol
	line int
	at   *dialogueTurn   // whose answer the next lines give; nil: not known yet
	seen map[string]bool // the keywords so far
}

func (f *dialogueFile) errorf(format string, args ...any) error {
	return dialogueErrorf(f.line, format, args...)
}

func dialogueErrorf(line int, format string, args ...any) error {
	return &DialogueError{Line: line, Problem: fmt.Sprintf(format, args...)}
}

// read reads one line: a keyword, white space, and the rest as its value.
func (f *dialogueFile) read(line string) error {
	if !utf8.ValidString(line) || strings.ContainsFunc(line, func(c rune) bool { return unicode.IsControl(c) && c != '\t' }) {
		return f.errorf("a control character, or no UTF-8")
	}
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return nil
	}
	word, value := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		word, value = line[:i], strings.TrimSpace(line[i:])
	}
	k, ok := dialogueKeywords[word]
	switch {
	case !ok:
		e := &DialogueError{Line: f.line, Problem: strconv.Quote(word) + " is no keyword", Word: word}
		for known := range dialogueKeywords {
			e.Known = append(e.Known, known)
		}
		slices.Sort(e.Known)
		return e
	case f.seen[word] && !k.many:
		return f.errorf("a second %q", word)
	case k.behind != "" && !f.seen[k.behind]:
		return f.errorf("%q belongs behind %q", word, k.behind)
	case k.before != "" && f.seen[k.before]:
		return f.errorf("%q belongs before %q", word, k.before)
	}
	f.seen[word] = true
	return k.set(f, value)
}

// check looks at the file as a whole.
func (f *dialogueFile) check() error {
	for _, word := range []string{"name", "ask", "go"} {
		if !f.seen[word] {
			return dialogueErrorf(0, "the file has no %q", word)
		}
	}
	turns := slices.Concat([]dialogueTurn{f.greeting}, f.clear, []dialogueTurn{f.ask}, f.probe, []dialogueTurn{f.inject})
	for _, t := range slices.Concat(f.probe, []dialogueTurn{f.inject}) {
		if t.line > 0 && len(t.steps) == 0 {
			return dialogueErrorf(t.line, "no answer is expected to this")
		}
	}
	f.info.ServerFirst = len(f.greeting.steps) > 0
	f.serves = f.deny != "" || slices.ContainsFunc(turns, func(t dialogueTurn) bool { return len(t.says) > 0 })
	if !f.serves {
		return nil
	}
	for _, l := range f.greeting.says {
		f.info.Greeting += fillDialogue(l, "localhost", "localhost") + f.end
	}
	return f.checkServer(turns)
}

// checkServer holds the server's words against what the client awaits.
func (f *dialogueFile) checkServer(turns []dialogueTurn) error {
	if f.deny == "" {
		return dialogueErrorf(0, "the file has what the server says, but no \"deny\"")
	}
	for i, t := range turns {
		if !f.awaits(&t, t.says) {
			return dialogueErrorf(t.line, "what the server says is not what is expected, neither less nor more")
		}
		if beforeAsk := i <= len(f.clear); beforeAsk && f.offer != nil && !f.awaits(&t, f.without(t.says)) {
			return dialogueErrorf(t.line, "without the line that offers TLS, what the server says is not what is expected: let another be the last")
		}
	}
	if f.awaits(&f.ask, []string{f.deny}) {
		return dialogueErrorf(f.ask.line, "\"deny\" is a go-ahead")
	}
	if f.seen["inject"] {
		return f.checkInjection(&f.probe[0], &f.inject)
	}
	return nil
}

// checkInjection sees that the answer to each of the two commands is known by
// its first line, and is not taken for the other's.
func (f *dialogueFile) checkInjection(control, inject *dialogueTurn) error {
	for _, pair := range [][2]*dialogueTurn{{control, inject}, {inject, control}} {
		t, other := pair[0], pair[1]
		if !t.answers(fillDialogue(t.says[0], "localhost", "localhost")) {
			return dialogueErrorf(t.line, "for \"inject\", what is expected first must match the first line of the answer")
		}
		if slices.ContainsFunc(other.says, func(l string) bool { return t.answers(fillDialogue(l, "localhost", "localhost")) }) {
			return dialogueErrorf(f.inject.line, "the answers to \"inject\" and to the first \"probe\" can not be told apart")
		}
	}
	return nil
}

// awaits reports whether says is what t awaits, to the last line.
func (d *dialogueProtocol) awaits(t *dialogueTurn, says []string) bool {
	_, err := d.hear(func() (string, error) {
		if len(says) == 0 {
			return "", io.EOF
		}
		line := says[0]
		says = says[1:]
		return fillDialogue(line, "localhost", "localhost"), nil
	}, t, new(starttls.Hello))
	return err == nil && len(says) == 0
}
