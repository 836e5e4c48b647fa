package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"example.org/starttls"
)

// imapSplice follows an IMAP session as far as it must, to tell replies and
// commands from what is said in literals.
type imapSplice struct {
	mu       sync.Mutex
	up, down lineFilter
	part     bool // the client's next line goes on behind a literal
	more     bool // the same, of the backend
	answer   bool // the client's next line answers a challenge

	literal int               // announced by the client, which waits for consent; -1: none
	waits   string            // tag of the command whose reply the client must wait for; "": none
	deflate string            // tag of COMPRESS
	refused map[string]string // what each is told, by tag

	hideAuth bool
}

const imapRefusedMost = 100 // commands under way that are refused

var errIMAPAhead = errors.New("the client did not wait for the server's consent")

// Splice makes the lists of capabilities true, those in response codes too:
// inside TLS there is neither STARTTLS nor a reason for LOGINDISABLED. A backend
// that opens as already signed in is refused: it would be so to everybody.
func (p imap) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	if bytes.HasPrefix(bytes.ToUpper(s.Hello.Greeting), []byte("* PREAUTH")) {
		return nil, nil, starttls.ErrAlreadyAuthenticated
	}
	f := &imapSplice{literal: -1, hideAuth: s.HideAuth}
	if s.Hello.Greeting != nil {
		s.Hello.Greeting = f.rewrite(s.Hello.Greeting)
	}
	f.up.line, f.up.most, f.down.line, f.down.most = f.said, spliceCommand, f.replied, spliceReply
	locked := func(l *lineFilter) starttls.Filter {
		return func(b []byte) ([]byte, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return l.filter(b)
		}
	}
	return locked(&f.up), locked(&f.down), nil
}

// said is shown each line of the client's.
func (f *imapSplice) said(line []byte) ([]byte, error) {
	if f.answer {
		f.answer = false
		return line, nil
	}
	if f.literal >= 0 || f.waits != "" {
		return nil, errIMAPAhead
	}
	text := strings.TrimRight(string(line), "\r\n")
	part := f.part
	tag, name, arg := imapCommand(text)
	n, waits, literal := imapLiteral(text)
	f.part = false
	switch {
	case literal && waits: // {n}: the backend has yet to consent (RFC 9051, section 4.3)
		f.literal = n
		if !part {
			f.waits = tag
		}
	case literal:
		f.up.skip, f.part = n, true
	}
	if part {
		return line, nil
	}
	switch {
	case name == "STARTTLS":
		return f.refuse(tag, "BAD TLS is not to be had now", literal)
	case f.hideAuth && (name == "LOGIN" || name == "AUTHENTICATE"):
		return f.refuse(tag, "NO [PRIVACYREQUIRED] Sign-in is for TLS: STARTTLS first", literal && !waits) // RFC 5530
	case name == "ID" && literal: // what is said there can not be judged
		return nil, &starttls.ReplyError{Expected: "ID without literals", Reply: []byte("(not shown)")}
	case name == "ID" && strings.Contains(strings.ToLower(arg), `"x-`): // the client's address is the gateway's to tell
		return []byte(tag + " ID NIL\r\n"), nil
	case name == "AUTHENTICATE":
		f.waits = tag
	case name == "COMPRESS":
		f.waits, f.deflate = tag, tag
	}
	return line, nil
}

// refuse has the command answered by reply, and NOOP said in its place. One whose
// literal comes unasked ends the session.
func (f *imapSplice) refuse(tag, reply string, literal bool) ([]byte, error) {
	if literal || len(f.refused) >= imapRefusedMost {
		return nil, &starttls.LimitError{What: "refused commands", Limit: imapRefusedMost}
	}
	if f.refused == nil {
		f.refused = map[string]string{}
	}
	f.refused[tag] = reply
	return []byte(tag + " NOOP\r\n"), nil
}

// replied is shown each line of the backend's.
func (f *imapSplice) replied(line []byte) ([]byte, error) {
	text := strings.TrimRight(string(line), "\r\n")
	more := f.more
	n, _, literal := imapLiteral(text)
	if f.more = literal; literal {
		f.down.skip = n
	}
	if more {
		return line, nil
	}
	tag, rest, _ := strings.Cut(text, " ")
	switch {
	case tag == "+" && len(f.up.held) > 0:
		return nil, errIMAPAhead
	case tag == "+" && f.literal >= 0:
		f.up.skip, f.part, f.literal, f.waits = f.literal, true, -1, ""
		return line, nil
	case tag == "+" && f.waits != "":
		f.answer = true
		return line, nil
	case tag != "*" && tag == f.waits:
		f.waits, f.literal = "", -1
		if tag == f.deflate && imapOK(rest) { // from here on nothing can be read (RFC 4978)
			f.up.skip, f.down.skip = -1, -1
		}
	}
	if reply := f.refused[tag]; reply != "" {
		delete(f.refused, tag)
		return []byte(tag + " " + reply + "\r\n"), nil
	}
	return f.rewrite(line), nil
}

// rewrite changes a list of capabilities where one can stand: in untagged
// CAPABILITY, and in the response code of a status (RFC 9051, section 7.1).
func (f *imapSplice) rewrite(line []byte) []byte {
	words := bytes.SplitN(line, []byte(" "), 3)
	if len(words) < 3 {
		return line
	}
	switch word := strings.ToUpper(string(words[1])); {
	case string(words[0]) == "*" && word == "CAPABILITY":
		list := bytes.TrimRight(words[2], "\r\n")
		return slices.Concat(line[:len(line)-len(words[2])], f.keep(list), words[2][len(list):])
	case word != "OK" && word != "NO" && word != "BAD" && word != "PREAUTH":
		return line
	}
	code, rest, ok := bytes.Cut(words[2], []byte("]"))
	const name = "[CAPABILITY "
	if !ok || len(code) < len(name) || !strings.EqualFold(string(code[:len(name)]), name) {
		return line
	}
	return slices.Concat(line[:len(line)-len(words[2])], code[:len(name)], f.keep(code[len(name):]), []byte("]"), rest)
}

// keep is a list of capabilities as it is true here.
func (f *imapSplice) keep(list []byte) []byte {
	var out [][]byte
	for _, c := range bytes.Fields(list) {
		name := strings.ToUpper(string(c))
		if name != "STARTTLS" && name != "LOGINDISABLED" && !(f.hideAuth && strings.HasPrefix(name, "AUTH=")) {
			out = append(out, c)
		}
	}
	if f.hideAuth {
		out = append(out, []byte("LOGINDISABLED"))
	}
	return bytes.Join(out, []byte(" "))
}

// Identify is ID with the fields that Dovecot takes from a proxy it trusts.
func (imap) Identify(w *starttls.Wire, client, local net.Addr) error {
	from, ok := client.(*net.TCPAddr)
	if !ok {
		return errors.New("the client is not on TCP: there is no address to tell")
	}
	fields := fmt.Sprintf(`"x-originating-ip" "%s" "x-originating-port" "%d"`, from.IP, from.Port)
	if to, ok := local.(*net.TCPAddr); ok {
		fields += fmt.Sprintf(` "x-connected-ip" "%s" "x-connected-port" "%d"`, to.IP, to.Port)
	}
	if err := w.WriteLine(imapCapTag + " ID (" + fields + ")"); err != nil {
		return err
	}
	line, err := imapTagged(w, imapCapTag, nil)
	if err == nil && !imapOK(line) {
		err = imapRefused(line)
	}
	return err
}

// Unavailable is BYE, which may come at any time (RFC 5530 for the code).
func (imap) Unavailable() []byte {
	return []byte("* BYE [UNAVAILABLE] the service is not available now\r\n")
}

// Unavailable is BYE, which may come at any time (RFC 2244, section 6.2.6).
func (tagged) Unavailable() []byte {
	return []byte("* BYE (TRYLATER) \"the service is not available now\"\r\n")
}
