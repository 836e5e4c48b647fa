package protocol

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"example.org/starttls"
)

// Kinds of exchanges.
const (
	smtpOther = iota
	smtpCaps  // EHLO or LHLO
	smtpAuth
	smtpRcpt
	smtpData
	smtpEnd // of a message: LMTP has a reply for each recipient
	smtpReset
)

type smtpSplice struct {
	smtp
	lineSession
	hideAuth   bool
	recipients int // accepted in this transaction
	ends       int // replies to the end of the message that have come
}

// Splice keeps the list of capabilities true: of STARTTLS, of what tells a
// server about its client, which is the gateway's to say, and, in clear, of what
// only TLS may carry. Only replies to EHLO are changed.
func (p smtp) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	if !s.Client.TLS() && s.Outcome.Peer != "" { // the client has said EHLO by now
		if _, err := expectCode(s.Backend, p.hello()+" "+s.Outcome.Peer, 250); err != nil {
			return nil, nil, err
		}
	}
	f := &smtpSplice{smtp: p, hideAuth: s.HideAuth}
	f.noop, f.command, f.reply = "NOOP", f.asks, f.answers
	toBackend, toClient = f.filters()
	return toBackend, toClient, nil
}

func (f *smtpSplice) asks(line string) (exchange, string) {
	switch name, arg := verb(line); name {
	case f.hello(), "HELO":
		return exchange{kind: smtpCaps}, line
	case "STARTTLS":
		return refuse("503 5.5.1 TLS is not to be had now"), ""
	case "XCLIENT", "XFORWARD":
		return refuse("550 5.7.0 Not allowed"), ""
	case "AUTH":
		if f.hideAuth {
			return refuse("538 5.7.11 Encryption required for this"), ""
		}
		return exchange{kind: smtpAuth, waits: true}, line
	case "RCPT":
		return exchange{kind: smtpRcpt}, line
	case "RSET", "MAIL":
		return exchange{kind: smtpReset}, line
	case "DATA":
		return exchange{kind: smtpData, waits: true}, line
	case "BDAT": // the chunk follows unasked (RFC 3030, section 2)
		size, last, _ := strings.Cut(arg, " ")
		n, err := strconv.Atoi(size)
		if err != nil || n < 0 {
			return refuse("501 5.5.4 Syntax: BDAT size"), ""
		}
		f.up.skip = n
		if strings.EqualFold(last, "LAST") {
			return exchange{kind: smtpEnd}, line
		}
	}
	return exchange{}, line
}

func (f *smtpSplice) answers(x *exchange, line []byte) ([]byte, bool, error) {
	code, last := codeEnd(line)
	if x.kind == smtpCaps {
		return f.capabilitiesOf(x, line, code, last), last, nil
	}
	if !last {
		return line, false, nil
	}
	switch {
	case x.kind == smtpAuth && code == 334:
		f.challenge(x)
		return line, false, nil
	case x.kind == smtpRcpt && code/100 == 2:
		f.recipients++
	case x.kind == smtpReset:
		f.recipients = 0
	case x.kind == smtpData && code == 354:
		f.up.body = &dotEnd{strict: true}
		x.kind, x.waits = smtpEnd, false
		return line, false, nil
	case x.kind == smtpEnd && f.up.body != nil: // a rejection that does not wait for the end
		return nil, false, errUnexpected("no reply before the end of the message", line)
	case x.kind == smtpEnd:
		if f.ends++; f.lmtp && f.ends < f.recipients {
			return line, false, nil
		}
		f.ends, f.recipients = 0, 0
	}
	return line, true, nil
}

// capabilitiesOf passes on a reply to EHLO, a line behind, since the last line
// may be one that goes.
func (f *smtpSplice) capabilitiesOf(x *exchange, line []byte, code int, last bool) []byte {
	if code != 250 && last || len(line) < 4 {
		return line
	}
	var out []byte
	word, _ := verb(strings.TrimRight(string(line[4:]), "\r\n"))
	goes := word == "STARTTLS" || forProxies(word)
	if f.hideAuth {
		goes = goes || word == "AUTH" || strings.HasPrefix(word, "AUTH=") || word == "REQUIRETLS"
	}
	if x.lines == 1 || !goes { // the first is no capability (RFC 5321, section 4.1.1.1)
		out = x.held
		x.held = slices.Clone(line)
	}
	if last && len(x.held) > 3 {
		x.held[3] = ' '
		out = append(out, x.held...)
	}
	return out
}

// Identify is XCLIENT, as Postfix has it: the server greets anew, as if the
// client it was told of had connected.
func (p smtp) Identify(w *starttls.Wire, client, local net.Addr) error {
	var h starttls.Hello
	if err := p.capabilities(w, &h); err != nil {
		return err
	}
	i := slices.IndexFunc(h.Caps, func(c string) bool { name, _ := verb(c); return name == "XCLIENT" })
	from, ok := client.(*net.TCPAddr)
	if i < 0 || !ok {
		return fmt.Errorf("the backend does not take XCLIENT from here")
	}
	_, known := verb(h.Caps[i])
	command := "XCLIENT NAME=[UNAVAILABLE] ADDR=" + xclientAddr(from)
	for name, value := range map[string]string{"PORT": strconv.Itoa(from.Port), "DESTADDR": "", "DESTPORT": ""} {
		if to, ok := local.(*net.TCPAddr); ok && name == "DESTADDR" {
			value = xclientAddr(to)
		} else if ok && name == "DESTPORT" {
			value = strconv.Itoa(to.Port)
		}
		if value != "" && slices.Contains(strings.Fields(strings.ToUpper(known)), name) {
			command += " " + name + "=" + value
		}
	}
	_, err := expectCode(w, command, 220)
	return err
}

// xclientAddr is an address as XCLIENT has it: IPv6 with a prefix.
func xclientAddr(a *net.TCPAddr) string {
	if a.IP.To4() == nil {
		return "IPV6:" + a.IP.String()
	}
	return a.IP.String()
}

// Unavailable is 421, which may come at any time (RFC 5321, section 3.8).
func (smtp) Unavailable() []byte {
	return []byte("421 4.3.2 The service is not available now\r\n")
}
