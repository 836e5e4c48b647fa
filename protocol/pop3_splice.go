package protocol

import (
	"bytes"
	"fmt"
	"net"
	"strings"

	"example.org/starttls"
)

// Kinds of exchanges.
const (
	popOther = iota
	popMulti // a list follows +OK
	popCapa
	popSASL
)

type popSplice struct {
	lineSession
	hideAuth bool
}

// Splice keeps STLS out of the reply to CAPA, and only there. The greeting is
// the backend's from the beginning, for APOP is bound to it (RFC 1939, section
// 7); one that came in clear on the way to TLS gives nothing else.
func (p pop3) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	f := &popSplice{hideAuth: s.HideAuth}
	f.noop, f.command, f.reply = "NOOP", f.asks, f.answers
	toBackend, toClient = f.filters()
	return toBackend, toClient, nil
}

func (f *popSplice) asks(line string) (exchange, string) {
	name, arg := verb(line)
	if f.hideAuth && (name == "USER" || name == "PASS" || name == "APOP" || name == "AUTH") {
		return refuse("-ERR sign-in is for TLS: STLS first"), ""
	}
	switch name {
	case "STLS":
		return refuse("-ERR TLS is not to be had now"), ""
	case "XCLIENT":
		return refuse("-ERR not allowed"), ""
	case "CAPA":
		return exchange{kind: popCapa}, line
	case "RETR", "TOP":
		return exchange{kind: popMulti}, line
	case "LIST", "UIDL":
		if arg == "" {
			return exchange{kind: popMulti}, line
		}
	case "AUTH":
		if arg == "" { // lists the mechanisms, in servers from before CAPA
			return exchange{kind: popMulti}, line
		}
		return exchange{kind: popSASL, waits: true}, line
	}
	return exchange{}, line
}

func (f *popSplice) answers(x *exchange, line []byte) ([]byte, bool, error) {
	text := strings.TrimRight(string(line), "\r\n")
	ok := strings.HasPrefix(text, "+OK")
	switch {
	case x.kind == popSASL && strings.HasPrefix(text, "+") && !ok:
		f.challenge(x)
		return line, false, nil
	case x.kind == popMulti && ok:
		f.down.body = &dotEnd{}
	case x.kind == popCapa && x.lines > 1:
		if name, _ := verb(text); name == "STLS" || name == "XCLIENT" || f.hideAuth && (name == "SASL" || name == "USER") {
			return nil, false, nil
		}
		return line, text == ".", nil
	case x.kind == popCapa && ok:
		return line, false, nil
	}
	return line, true, nil
}

// Identify is XCLIENT, as Dovecot has it.
func (pop3) Identify(w *starttls.Wire, client, local net.Addr) error {
	return popXCLIENT(w, client, "+OK")
}

func popXCLIENT(w *starttls.Wire, client net.Addr, consent string) error {
	from, ok := client.(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("the client is not on TCP: there is no address to tell")
	}
	if err := w.WriteLine(fmt.Sprintf("XCLIENT ADDR=%s PORT=%d", from.IP, from.Port)); err != nil {
		return err
	}
	line, err := w.ReadLine()
	if err == nil && !bytes.HasPrefix([]byte(line), []byte(consent)) {
		err = fmt.Errorf("XCLIENT: %w", &starttls.RefusedError{Reply: []byte(line)})
	}
	return err
}

// Unavailable is an answer to whatever the client says first (RFC 3206 for the
// code).
func (pop3) Unavailable() []byte {
	return []byte("-ERR [SYS/TEMP] the service is not available now\r\n")
}
