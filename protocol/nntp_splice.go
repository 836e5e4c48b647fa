package protocol

import (
	"strings"

	"example.org/starttls"
)

// Kinds of exchanges.
const (
	nntpOther = iota
	nntpAsksCaps
	nntpGroup  // LISTGROUP: a list follows its 211, none that of GROUP
	nntpPost   // an article follows 335 or 340
	nntpStream // TAKETHIS: an article follows the command
	nntpSASL
	nntpDeflate
)

// nntpLists are the codes that a list or an article follows (RFC 3977, appendix
// C, and the older commands that are still in use).
const nntpLists = "100 101 215 220 221 222 224 225 230 231 282 288"

type nntpSplice struct {
	lineSession
	hideAuth bool
	reader   bool // MODE READER was said before TLS, and is in effect
}

// Splice says again what stays in effect (RFC 4642, section 2.2.2: MODE
// READER), and keeps STARTTLS out of the reply to CAPABILITIES, and only there.
func (p nntp) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	if s.Outcome.Replay != nil {
		if _, err := s.Backend.Write(s.Outcome.Replay); err != nil {
			return nil, nil, err
		}
		r, err := readCodeReply(s.Backend, "a reply to MODE READER")
		if err != nil {
			return nil, nil, err
		}
		if r.code != 200 && r.code != 201 {
			return nil, nil, r.refused()
		}
	}
	f := &nntpSplice{hideAuth: s.HideAuth, reader: s.Outcome.Replay != nil}
	f.noop, f.command, f.reply = "DATE", f.asks, f.answers
	toBackend, toClient = f.filters()
	return toBackend, toClient, nil
}

func (f *nntpSplice) asks(line string) (exchange, string) {
	switch name, arg := verb(line); name {
	case "STARTTLS":
		return refuse("502 TLS is not to be had now"), ""
	case "CAPABILITIES":
		return exchange{kind: nntpAsksCaps}, line
	case "LISTGROUP":
		return exchange{kind: nntpGroup}, line
	case "POST", "IHAVE":
		return exchange{kind: nntpPost, waits: true}, line
	case "TAKETHIS":
		f.up.body = &dotEnd{}
		return exchange{kind: nntpStream}, line
	case "AUTHINFO":
		if f.hideAuth {
			return refuse("483 Sign-in is for TLS: STARTTLS first"), ""
		}
		if kind, _ := verb(arg); kind == "SASL" {
			return exchange{kind: nntpSASL, waits: true}, line
		}
	case "COMPRESS":
		return exchange{kind: nntpDeflate, waits: true}, line
	}
	return exchange{}, line
}

func (f *nntpSplice) answers(x *exchange, line []byte) ([]byte, bool, error) {
	text := strings.TrimRight(string(line), "\r\n")
	if x.kind == nntpAsksCaps && x.lines > 1 {
		if name, _ := verb(text); name == "STARTTLS" || name == "MODE-READER" && f.reader || f.hideAuth && (name == "AUTHINFO" || name == "SASL") {
			return nil, false, nil
		}
		return line, text == ".", nil
	}
	code, _, _, ok := splitCode(text)
	switch {
	case !ok:
		return nil, false, errUnexpected("a reply", line)
	case x.kind == nntpAsksCaps && code == 101:
		return line, false, nil
	case x.kind == nntpSASL && code == 383:
		f.challenge(x)
		return line, false, nil
	case x.kind == nntpPost && (code == 335 || code == 340):
		f.up.body = &dotEnd{}
		x.waits = false
		return line, false, nil
	case x.kind == nntpDeflate && code == 206: // from here on nothing can be read (RFC 8054)
		f.up.skip, f.down.skip = -1, -1
	case code == 211 && x.kind == nntpGroup, strings.Contains(nntpLists, text[:3]):
		f.down.body = &dotEnd{}
	}
	return line, true, nil
}

// Unavailable is 400, which may come at any time (RFC 3977, section 3.2.1).
func (nntp) Unavailable() []byte { return []byte("400 The service is not available now\r\n") }
