package protocol

import (
	"strings"

	"example.org/starttls"
)

// ACAP is the Application Configuration Access Protocol, RFC 2244; STARTTLS is
// RFC 2595, section 5. The server greets again inside TLS.
var ACAP = register(tagged{
	info: starttls.Info{
		Name: "acap", Port: 674, Title: "ACAP, settings", Reference: "RFC 2595", ServerFirst: true, SpeaksAfterTLS: true,
		Greeting: "* ACAP (IMPLEMENTATION \"ready\")\r\n",
	},
	read: acapRead, banner: acapBanner, caps: []string{`SASL "PLAIN"`},
	session: []string{"AUTHENTICATE", "SEARCH", "STORE", "FREECONTEXT", "UPDATECONTEXT", "SETACL", "LISTRIGHTS", "GETQUOTA", "LANG", "DELETEDSINCE"},
	bye:     "* BYE \"bye\"\r\nTAG OK \"done\"",
})

// acapRead reads the greeting: "* ACAP" and capabilities, each in brackets (RFC
// 2244, section 6.2.1).
func acapRead(w *starttls.Wire) (h starttls.Hello, err error) {
	line, err := w.ReadLine()
	if err != nil {
		return h, err
	}
	h.Greeting = []byte(line + "\r\n")
	name, list := verb(strings.TrimPrefix(line, "* "))
	switch {
	case strings.HasPrefix(line, "* ") && name == "BYE":
		return h, taggedRefused(line)
	case !strings.HasPrefix(line, "* ") || name != "ACAP":
		return h, &starttls.ReplyError{Expected: "a greeting", Reply: h.Greeting}
	}
	for item := range strings.SplitSeq(list, "(") {
		item, _, ok := strings.Cut(item, ")")
		if !ok {
			continue
		}
		h.Caps = append(h.Caps, item)
		name, arg := verb(item)
		switch name {
		case "STARTTLS":
			h.Offered = true
		case "SASL":
			h.Auth = appendNew(h.Auth, strings.Fields(strings.ToUpper(strings.ReplaceAll(arg, `"`, "")))...)
		case "IMPLEMENTATION":
			h.Software = strings.Trim(arg, `"`)
		}
	}
	return h, nil
}

func acapBanner(w *starttls.Wire, h starttls.Hello, caps []string) []byte {
	b := `* ACAP (IMPLEMENTATION "` + or(h.Software, w.ServerName()) + `")`
	for _, c := range caps {
		if name, _ := verb(c); name != "IMPLEMENTATION" {
			b += " (" + c + ")"
		}
	}
	return []byte(b + "\r\n")
}
