package protocol

import (
	"strconv"
	"strings"

	"example.org/starttls"
)

// IMAP is mail access, RFC 9051 section 6.2.1. STARTTLS listed inside TLS is
// useless, but no fault: neither RFC 3501 nor RFC 9051 forbids it.
var IMAP = register(imap{})

type imap struct{}

func (imap) Info() starttls.Info {
	return starttls.Info{
		Name: "imap", Aliases: []string{"imap4"}, Port: 143, ImplicitTLS: 993, SRV: "imap", SRVImplicit: "imaps", ALPN: []string{"imap"},
		Title: "IMAP, mail access", Reference: "RFC 9051", ServerFirst: true, HidesAuth: true, Greeting: "* OK ready\r\n",
	}
}

// The tags of the client's half: only replies that carry them count.
const (
	imapCapTag = "c1"
	imapTLSTag = "t1"
)

func (p imap) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	line, err := w.ReadLine()
	if err != nil {
		return h, err
	}
	h.Greeting = []byte(line + "\r\n")
	status, text, _ := strings.Cut(strings.TrimPrefix(line, "* "), " ")
	switch status = strings.ToUpper(status); {
	case !strings.HasPrefix(line, "* "):
		return h, &starttls.ReplyError{Expected: "a greeting", Reply: h.Greeting}
	case status == "BYE":
		return h, imapRefused(line)
	case status != "OK" && status != "PREAUTH":
		return h, &starttls.ReplyError{Expected: "a greeting", Reply: h.Greeting}
	}
	h.Software = imapText(text, &h)
	if ask == starttls.NoAsk {
		return h, nil
	}
	if status == "PREAUTH" { // RFC 9051, section 7.1.4: a client that needs TLS closes
		return h, starttls.ErrAlreadyAuthenticated
	}
	if h.Caps == nil {
		if err := p.capabilities(w, &h); err != nil {
			return h, err
		}
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	if err := w.Ask([]byte(imapTLSTag + " STARTTLS\r\n")); err != nil {
		return h, err
	}
	line, err = imapTagged(w, imapTLSTag, nil)
	if err != nil {
		return h, err
	}
	if !imapOK(line) {
		return h, imapRefused(line)
	}
	return h, nil
}

// imapText takes the response code off a status text; a CAPABILITY in it
// counts.
func imapText(text string, h *starttls.Hello) string {
	code, rest, ok := strings.Cut(text, "] ")
	if !ok || !strings.HasPrefix(code, "[") {
		return text
	}
	if name, arg := verb(code[1:]); name == "CAPABILITY" {
		imapCaps(h, arg)
	}
	return rest
}

func imapCaps(h *starttls.Hello, list string) {
	h.Caps, h.Auth, h.Offered = strings.Fields(list), nil, false
	for _, c := range h.Caps {
		c = strings.ToUpper(c)
		if m, ok := strings.CutPrefix(c, "AUTH="); ok {
			h.Auth = appendNew(h.Auth, m)
		}
		switch c {
		case "STARTTLS":
			h.Offered = true
		case "LOGINDISABLED":
			h.Required = true
		}
	}
	if !h.Required {
		h.Auth = appendNew(h.Auth, "LOGIN") // the command, allowed unless disabled (RFC 9051, section 6.2.3)
	}
}

// imapTagged reads up to the reply to tag and returns it without the tag.
// Untagged data is given to each; literals are read over. Data that comes
// before TLS is nobody's to believe, and each may be nil.
func imapTagged(w *starttls.Wire, tag string, each func(string)) (string, error) {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(line, "* ") {
			if err := imapDropLiterals(w, line, false); err != nil {
				return "", err
			}
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return rest, nil
		}
		data, ok := strings.CutPrefix(line, "* ")
		if !ok {
			return "", &starttls.ReplyError{Expected: "a reply tagged " + tag, Reply: []byte(line)}
		}
		if name, _ := verb(data); name == "BYE" {
			return "", imapRefused(line)
		}
		if each != nil {
			each(data)
		}
	}
}

// imapLiteral reads the announcement of a literal at a line's end: {5} or {5+}.
func imapLiteral(line string) (n int, waits, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false, false
	}
	size, plus := strings.CutSuffix(line[open+1:len(line)-1], "+")
	n, err := strconv.Atoi(size)
	return n, !plus, err == nil && n >= 0
}

func imapOK(tagged string) bool {
	word, _, _ := strings.Cut(tagged, " ")
	return strings.EqualFold(word, "OK")
}

// imapRefused makes an error of NO, BAD or BYE (RFC 5530 for the code).
func imapRefused(line string) error {
	return &starttls.RefusedError{Reply: []byte(line + "\r\n"), Temporary: strings.Contains(strings.ToUpper(line), "[UNAVAILABLE]")}
}

func (imap) capabilities(w *starttls.Wire, h *starttls.Hello) error {
	if err := w.WriteLine(imapCapTag + " CAPABILITY"); err != nil {
		return err
	}
	_, err := imapTagged(w, imapCapTag, func(data string) {
		if name, arg := verb(data); name == "CAPABILITY" {
			imapCaps(h, arg)
		}
	})
	return err // NO or BAD: a server without capabilities
}

func (p imap) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	return h, p.capabilities(w, &h)
}

// Injection: a reply carries its command's tag.
func (imap) Injection(_, marker string) starttls.Injection { return imapInjection(marker) }

func imapInjection(marker string) starttls.Injection {
	return starttls.Injection{
		Probe:    []byte(marker + " NOOP\r\n"),
		Control:  []byte(twin(marker) + " NOOP\r\n"),
		Classify: classifyHolds(twin(marker), marker),
	}
}
