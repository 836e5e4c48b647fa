package protocol

import (
	"strings"

	"example.org/starttls"
)

// MUPDATE tells mail servers of a cluster where mailboxes are, RFC 3656. The
// server gives its banner again inside TLS (section 4.10).
var MUPDATE = register(tagged{
	info: starttls.Info{
		Name: "mupdate", Port: 3905, Title: "MUPDATE, mailboxes of a cluster", Reference: "RFC 3656", ServerFirst: true, SpeaksAfterTLS: true,
		Greeting: "* OK MUPDATE \"ready\" \"\" \"\" \"\"\r\n",
	},
	read: mupdateRead, banner: mupdateBanner, caps: []string{"AUTH PLAIN"},
	session: []string{"AUTHENTICATE", "ACTIVATE", "DEACTIVATE", "DELETE", "FIND", "LIST", "RESERVE", "UPDATE"},
	bye:     `TAG BYE "bye"`,
})

// mupdateRead reads the banner: a capability a line, up to OK (RFC 3656,
// section 3.2).
func mupdateRead(w *starttls.Wire) (h starttls.Hello, err error) {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return h, err
		}
		h.Greeting = append(h.Greeting, line+"\r\n"...)
		data, ok := strings.CutPrefix(line, "* ")
		if !ok {
			return h, &starttls.ReplyError{Expected: "a banner", Reply: h.Greeting}
		}
		name, arg := verb(data)
		switch name {
		case "OK":
			if parts := strings.Split(arg, `"`); len(parts) > 5 { // host, software, version, URL
				h.Software = strings.TrimSpace(parts[3] + " " + parts[5])
			}
			return h, nil
		case "NO", "BAD", "BYE":
			return h, taggedRefused(line)
		case "STARTTLS":
			h.Offered = true
		case "AUTH":
			h.Auth = appendNew(h.Auth, strings.Fields(strings.ToUpper(arg))...)
		}
		h.Caps = append(h.Caps, data)
	}
}

func mupdateBanner(w *starttls.Wire, h starttls.Hello, caps []string) []byte {
	var b strings.Builder
	for _, c := range caps {
		b.WriteString("* " + c + "\r\n")
	}
	b.WriteString(`* OK MUPDATE "` + w.ServerName() + `" "` + or(h.Software, "starttls") + `" "1" "mupdate://` + w.ServerName() + "/\"\r\n")
	return []byte(b.String())
}
