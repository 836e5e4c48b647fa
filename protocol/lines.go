package protocol

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"example.org/starttls"
)

// What the protocols made of lines share.

// codeReply is an answer of SMTP, LMTP, FTP or NNTP: three digits and text.
type codeReply struct {
	code  int
	lines []string // the text of each line, without the code
	raw   []byte   // as it came, with CRLF
}

// readCodeReply reads a reply of one line or several ("250-" until "250 ", RFC
// 5321 section 4.2.1, RFC 959 section 4.2). what says what it answers.
func readCodeReply(w *starttls.Wire, what string) (codeReply, error) {
	var r codeReply
	for {
		line, err := w.ReadLine()
		if err != nil {
			return r, err
		}
		r.raw = append(r.raw, line+"\r\n"...)
		code, sep, text, ok := splitCode(line)
		first := len(r.lines) == 0
		switch {
		case first && !ok:
			return r, &starttls.ReplyError{Expected: what, Reply: r.raw}
		case first:
			r.code = code
		case !ok || code != r.code: // FTP's free text inside a reply
			r.lines = append(r.lines, line)
			continue
		}
		r.lines = append(r.lines, text)
		if sep != '-' {
			return r, nil
		}
	}
}

// splitCode takes "250-TEXT" apart. A bare code counts as the last line.
func splitCode(line string) (code int, sep byte, text string, ok bool) {
	if len(line) < 3 || line[0] < '1' || line[0] > '5' {
		return 0, 0, "", false
	}
	code, err := strconv.Atoi(line[:3])
	if err != nil {
		return 0, 0, "", false
	}
	if len(line) == 3 {
		return code, ' ', "", true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, 0, "", false
	}
	return code, line[3], line[4:], true
}

// refused makes an error of a reply that declines; 4xx is temporary.
func (r codeReply) refused() error {
	return &starttls.RefusedError{Reply: r.raw, Temporary: r.code/100 == 4}
}

// ask sends one command line and reads the answer to it.
func (r *codeReply) ask(w *starttls.Wire, command string) (err error) {
	if err = w.WriteLine(command); err != nil {
		return err
	}
	verb, _, _ := strings.Cut(command, " ")
	*r, err = readCodeReply(w, "a reply to "+verb)
	return err
}

// verb takes a command line apart; the verb comes back in upper case.
func verb(line string) (name, arg string) {
	name, arg, _ = strings.Cut(strings.TrimRight(line, " \t"), " ")
	return strings.ToUpper(name), strings.TrimSpace(arg)
}

// isHTTP reports whether a line is the start of an HTTP request: somebody's
// browser was led here (ALPACA), and the connection is best closed.
func isHTTP(line string) bool {
	name, _ := verb(line)
	switch name {
	case "GET", "POST", "HEAD", "PUT", "DELETE", "CONNECT", "TRACE", "PATCH", "OPTIONS":
		return strings.Contains(line, "HTTP/")
	}
	return false
}

// keepVerbs keeps, for a transcript, whole command lines whose verb is one of
// those named; of commands that carry secrets the verb and a length; and of all
// else, which may be a secret on a line of its own, a length.
func keepVerbs(names ...string) func([]byte) []byte {
	return func(msg []byte) []byte {
		name, arg := verb(strings.TrimRight(string(msg), "\r\n"))
		switch {
		case slices.Contains(names, name):
			return msg
		case slices.Contains(secretVerbs, name):
			return fmt.Appendf(nil, "%s [%d bytes]", name, len(arg))
		}
		return fmt.Appendf(nil, "[%d bytes]", len(msg))
	}
}

// secretVerbs are commands of any protocol that are no secret themselves, but
// whose arguments can be.
var secretVerbs = []string{"AUTH", "USER", "PASS", "APOP", "LOGIN", "AUTHENTICATE", "AUTHINFO", "ACCT", "NICK", "MAIL", "RCPT"}

// plainSecret reads SASL PLAIN's message: authorization NUL user NUL password
// (RFC 4616, section 2).
func plainSecret(encoded string) (user string, secret []byte, ok bool) {
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", nil, false
	}
	parts := strings.SplitN(string(b), "\x00", 3)
	if len(parts) != 3 {
		return "", nil, false
	}
	return parts[1], []byte(parts[2]), true
}

// loginDialogue speaks the server's half of SASL LOGIN, in which challenge
// writes a prompt and answers are read as lines of base64.
func loginDialogue(w *starttls.Wire, initial string, challenge func(string) error) (user string, secret []byte, err error) {
	answer := func(prompt string) (string, error) {
		if err := challenge(base64.StdEncoding.EncodeToString([]byte(prompt))); err != nil {
			return "", err
		}
		return w.ReadLine()
	}
	if initial == "" {
		if initial, err = answer("Username:"); err != nil {
			return "", nil, err
		}
	}
	pass, err := answer("Password:")
	if err != nil {
		return "", nil, err
	}
	u, err1 := base64.StdEncoding.DecodeString(initial)
	s, err2 := base64.StdEncoding.DecodeString(pass)
	if err1 != nil || err2 != nil {
		return "", nil, &starttls.ReplyError{Expected: "base64", Reply: []byte("(not shown)")}
	}
	return string(u), s, nil
}

// or returns s, or fallback if s is empty.
func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// writeLF writes a line of a protocol whose lines end in LF alone.
func writeLF(w *starttls.Wire, s string) error {
	_, err := w.Write([]byte(s + "\n"))
	return err
}
