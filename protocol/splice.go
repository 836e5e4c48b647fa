package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"

	"example.org/starttls"
)

// What the protocols made of lines share where a gateway passes their sessions
// on. See starttls.Splicer.

const (
	spliceCommand = 64 << 10 // bytes of a client's line; a longer one ends the session
	spliceReply   = 8 << 10  // bytes of a server's line that is looked at; a longer one is passed on unread
	spliceQueue   = 10000    // commands under way
	spliceKeep    = 4 << 10  // bytes of a buffer that an idle session may keep
)

// lineFilter cuts what passes into lines and shows each to line, which returns
// what is passed on in its place. What is passed on unchanged is not copied.
type lineFilter struct {
	line func(line []byte) ([]byte, error)
	most int     // bytes of a line that are held; of a client's it may not have more
	skip int     // bytes to be passed on unread: a literal, a chunk; -1: all that comes
	body *dotEnd // a body ended by a dot is under way
	held []byte  // the beginning of a line
	long bool    // in a line too long to be held
	out  []byte
}

func (f *lineFilter) filter(b []byte) ([]byte, error) {
	out, err := f.cut(b)
	if cap(f.out) > spliceKeep { // what one busy moment needed is not kept for an idle one
		f.out = nil
	}
	return out, err
}

func (f *lineFilter) cut(b []byte) ([]byte, error) {
	f.out = f.out[:0]
	if len(f.held) > 0 && (f.skip != 0 || f.body != nil) { // what was held turns out to be no line
		b, f.held = append(f.held, b...), nil
	}
	done, at := 0, 0 // b[done:at] is passed on as it is
	for at < len(b) {
		if n, err := f.unread(b[at:]); err != nil {
			return nil, err
		} else if n > 0 {
			at += n
			continue
		}
		end := bytes.IndexByte(b[at:], '\n') + 1
		if end == 0 {
			if n := len(f.held) + len(b) - at; n > f.most {
				if f.most >= spliceCommand {
					return nil, &starttls.LimitError{What: "bytes of a command", Limit: f.most}
				}
				f.long = true
				if len(f.held) > 0 {
					f.out = append(append(f.out, b[done:at]...), f.held...)
					f.held, done = nil, at
				}
				continue
			}
			f.held = append(f.held, b[at:]...)
			return f.passed(b[done:at]), nil
		}
		line := b[at : at+end]
		if len(f.held) > 0 {
			line = append(f.held, line...)
			f.held = nil
		}
		instead, err := f.line(line)
		if err != nil {
			return nil, err
		}
		if same(instead, b[at:at+end]) {
			at += end
			continue
		}
		f.out = append(append(f.out, b[done:at]...), instead...)
		at += end
		done = at
	}
	return f.passed(b[done:at]), nil
}

// passed is what has been put out and, behind it, b.
func (f *lineFilter) passed(b []byte) []byte {
	if len(f.out) == 0 {
		return b
	}
	f.out = append(f.out, b...)
	return f.out
}

// unread tells how many of the next bytes are no lines.
func (f *lineFilter) unread(b []byte) (int, error) {
	switch {
	case f.skip < 0:
		return len(b), nil
	case f.skip > 0:
		n := min(f.skip, len(b))
		f.skip -= n
		return n, nil
	case f.body != nil:
		n, ended, err := f.body.scan(b)
		if ended {
			f.body = nil
		}
		return n, err
	case f.long:
		n := bytes.IndexByte(b, '\n') + 1
		if f.long = n == 0; f.long {
			n = len(b)
		}
		return n, nil
	}
	return 0, nil
}

func same(a, b []byte) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// dotEnd finds the end of a body: a line with nothing but a dot. strict makes an
// error of such a line that does not stand between CRLFs: servers differ in
// whether it ends the body, and what follows it would be commands to one and
// text to another.
type dotEnd struct {
	strict bool
	state  dotState
	cr     bool // the last byte was CR
}

type dotState byte

const (
	dotLine dotState = iota // at the beginning of a line
	dotBare                 // the same, behind an LF without CR
	dotText
	dotDot // a dot stands at the beginning of the line
	dotBareDot
	dotDotCR // and a CR behind it
	dotBareDotCR
)

var errBareDot = errors.New("a line of one dot has bare LF for an end, or before it")

// scan reads on to the end of the body and returns how many bytes that is.
func (d *dotEnd) scan(b []byte) (n int, ended bool, err error) {
	for i := 0; i < len(b); {
		c := b[i]
		state := d.state
		d.state = dotText
		switch {
		case state == dotText:
			j := bytes.Index(b[i:], []byte("\n."))
			if j < 0 {
				d.rest(b[i:])
				return len(b), false, nil
			}
			d.state = dotBareDot
			if i+j > 0 && b[i+j-1] == '\r' || i+j == 0 && d.cr {
				d.state = dotDot
			}
			i += j + 2
			continue
		case c == '.' && state == dotLine:
			d.state = dotDot
		case c == '.' && state == dotBare:
			d.state = dotBareDot
		case c == '\r' && state == dotDot:
			d.state = dotDotCR
		case c == '\r' && state == dotBareDot:
			d.state = dotBareDotCR
		case c == '\n' && state == dotDotCR:
			return i + 1, true, nil
		case c == '\n' && state != dotLine && state != dotBare:
			if d.strict {
				return 0, false, errBareDot
			}
			d.state = dotBare
		default: // the byte is text, and may be LF
			d.cr = i > 0 && b[i-1] == '\r' || i == 0 && d.cr
			continue
		}
		d.cr = c == '\r'
		i++
	}
	return len(b), false, nil
}

// rest notes what a piece without a dot behind LF leaves behind.
func (d *dotEnd) rest(b []byte) {
	last := b[len(b)-1]
	if last == '\n' {
		d.state = dotBare
		if len(b) > 1 && b[len(b)-2] == '\r' || len(b) == 1 && d.cr {
			d.state = dotLine
		}
	}
	d.cr = last == '\r'
}

// lineSession follows a session of commands, each a line, and their replies, which
// come in the same order.
type lineSession struct {
	mu       sync.Mutex
	up, down lineFilter // from the client, and from the backend
	queue    []exchange
	answer   bool // the client's next line answers a challenge, and is no command

	noop string // a command without effect, with a reply of one message
	// command tells of a client's line what is expected in reply to it, and may
	// return another to be sent in its place.
	command func(line string) (exchange, string)
	// reply is shown each line of a reply, and tells whether it is the last.
	reply func(x *exchange, line []byte) (instead []byte, last bool, err error)
}

// exchange is a command whose reply is still to come.
type exchange struct {
	instead string // what the client is told in the place of the backend's reply
	waits   bool   // nothing may follow the command before its reply
	kind    int    // as the protocol likes
	lines   int    // of the reply, so far
	code    int    // of its first line
	held    []byte // of the reply, held back
}

// refuse is the exchange of a command that is not passed on.
func refuse(reply string) exchange { return exchange{instead: reply + "\r\n"} }

func (d *lineSession) filters() (toBackend, toClient starttls.Filter) {
	d.up.line, d.up.most, d.down.line, d.down.most = d.said, spliceCommand, d.replied, spliceReply
	locked := func(f *lineFilter) starttls.Filter {
		return func(b []byte) ([]byte, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			return f.filter(b)
		}
	}
	return locked(&d.up), locked(&d.down)
}

func (d *lineSession) said(line []byte) ([]byte, error) {
	if d.answer {
		d.answer = false
		return line, nil
	}
	if n := len(d.queue); n > 0 && d.queue[n-1].waits {
		return nil, &starttls.ReplyError{Expected: "no command before the reply to the last", Reply: []byte("(not shown)")}
	}
	if len(d.queue) >= spliceQueue {
		return nil, &starttls.LimitError{What: "commands under way", Limit: spliceQueue}
	}
	text := strings.TrimRight(string(line), "\r\n")
	x, other := d.command(text)
	d.queue = append(d.queue, x)
	switch {
	case x.instead != "":
		return []byte(d.noop + "\r\n"), nil
	case other != text && other != "":
		return []byte(other + "\r\n"), nil
	}
	return line, nil
}

func (d *lineSession) replied(line []byte) ([]byte, error) {
	if len(d.queue) == 0 { // unasked: "421 timeout"
		return line, nil
	}
	x := &d.queue[0]
	x.lines++
	out, last, err := d.reply(x, line)
	if err != nil {
		return nil, err
	}
	if x.instead != "" {
		out = nil
		if last {
			out = []byte(x.instead)
		}
	}
	if last {
		d.queue = d.queue[1:]
		if len(d.queue) == 0 {
			d.queue = nil
		}
	}
	return out, nil
}

// challenge tells that the reply at hand is a challenge: the command stays, and what
// the client says next is no command.
func (d *lineSession) challenge(x *exchange) {
	d.answer, x.lines = true, 0
}

// codeEnd reports whether a line is the last of a reply of SMTP's shape, and the
// reply's code.
func codeEnd(line []byte) (code int, last bool) {
	code, sep, _, ok := splitCode(string(bytes.TrimRight(line, "\r\n")))
	return code, ok && sep != '-'
}

// errUnexpected is a backend's reply that makes no sense where it stands.
func errUnexpected(what string, line []byte) error {
	return &starttls.ReplyError{Expected: what, Reply: bytes.Clone(line)}
}

// expectCode sends a command to a backend and reads the reply, which must have the
// code wanted.
func expectCode(w *starttls.Wire, command string, wanted int) (r codeReply, err error) {
	if err := r.ask(w, command); err != nil {
		return r, err
	}
	if r.code != wanted {
		return r, fmt.Errorf("%s: %w", strings.Fields(command)[0], r.refused())
	}
	return r, nil
}
