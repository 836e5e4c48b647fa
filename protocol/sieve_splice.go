package protocol

import (
	"bytes"
	"net"
	"strings"

	"example.org/starttls"
)

// Kinds of exchanges.
const (
	sieveOther = iota
	sieveCaps
	sieveSASL
)

type sieveSplice struct {
	lineSession
	hideAuth bool
	more     bool // the next line of the backend goes on behind a literal
	part     bool // the same, of the client
}

// Splice keeps STARTTLS out of the list of capabilities, which is given inside
// TLS by itself and in reply to CAPABILITY (RFC 5804, section 1.7). A script of
// that name stays in the list of scripts.
func (p sieve) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	if s.Hello.Greeting != nil {
		s.Hello.Greeting = sieveWithout(s.Hello.Greeting)
	}
	f := &sieveSplice{hideAuth: s.HideAuth}
	f.noop, f.command, f.reply = "NOOP", f.asks, f.answers
	toBackend, toClient = f.filters()
	said := f.up.line
	f.up.line = func(line []byte) ([]byte, error) {
		part := f.part
		n, _, ok := imapLiteral(strings.TrimRight(string(line), "\r\n"))
		if f.part = ok; ok {
			f.up.skip = n
		}
		if part {
			return line, nil
		}
		out, err := said(line)
		if err == nil && ok && !same(out, line) {
			err = &starttls.ReplyError{Expected: "no literal in a command that is refused", Reply: []byte("(not shown)")}
		}
		return out, err
	}
	return toBackend, toClient, nil
}

// sieveWithout is a list of capabilities without STARTTLS.
func sieveWithout(list []byte) (out []byte) {
	for line := range bytes.Lines(list) {
		if !sieveIs(line, "STARTTLS") {
			out = append(out, line...)
		}
	}
	return out
}

// sieveIs reports whether a line of that list is about the capability.
func sieveIs(line []byte, capability string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(string(line), `"`), `"`)
	return strings.EqualFold(name, capability) && line[0] == '"'
}

func (f *sieveSplice) asks(line string) (exchange, string) {
	switch name, _ := verb(line); name {
	case "STARTTLS":
		return refuse(`NO "TLS is not to be had now"`), ""
	case "XCLIENT":
		return refuse(`NO "not allowed"`), ""
	case "CAPABILITY":
		return exchange{kind: sieveCaps}, line
	case "AUTHENTICATE":
		if f.hideAuth {
			return refuse(`NO (ENCRYPT-NEEDED) "sign-in is for TLS: STARTTLS first"`), ""
		}
		return exchange{kind: sieveSASL}, line
	}
	return exchange{}, line
}

func (f *sieveSplice) answers(x *exchange, line []byte) ([]byte, bool, error) {
	text := strings.TrimRight(string(line), "\r\n")
	more := f.more
	n, _, literal := imapLiteral(text)
	if f.more = literal; literal {
		f.down.skip = n
	}
	word, _, _ := strings.Cut(text, " ")
	switch word = strings.ToUpper(word); {
	case !more && (word == "OK" || word == "NO" || word == "BYE"):
		x.code = 1
	case !more && x.kind == sieveCaps && sieveIs(line, "STARTTLS"):
		return nil, false, nil
	case !more && x.kind == sieveCaps && f.hideAuth && sieveIs(line, "SASL"):
		return []byte("\"SASL\" \"\"\r\n"), false, nil // RFC 5804, section 1.7
	case !more && x.kind == sieveSASL && x.code == 0:
		f.challenge(x)
	}
	return line, x.code == 1 && !f.more, nil
}

// Identify is XCLIENT, as Dovecot has it.
func (sieve) Identify(w *starttls.Wire, client, local net.Addr) error {
	return popXCLIENT(w, client, "OK")
}

// Unavailable is BYE, which may come at any time (RFC 5804, section 1.2).
func (sieve) Unavailable() []byte {
	return []byte("BYE (TRYLATER) \"the service is not available now\"\r\n")
}
