package protocol

import (
	"slices"
	"strconv"
	"strings"

	"example.org/starttls"
)

// HTTP is HTTP/1.1, upgraded to TLS within the connection by RFC 2817. What is
// asked for TLS is OPTIONS *, whose answer comes inside TLS; https, on a port of
// its own, is the implicit form (RFC 9110, section 4.2.2).
var HTTP = register(http{info: starttls.Info{
	Name: "http", Aliases: []string{"www"}, Port: 80, ImplicitTLS: 443, ALPN: []string{"http/1.1"}, Title: "HTTP/1.1", Role: starttls.Public,
	Reference: "RFC 2817", Unadvertised: true, SpeaksAfterTLS: true,
}})

// IPP is printing over HTTP, RFC 8010, which upgrades as HTTP does.
var IPP = register(http{info: starttls.Info{
	Name: "ipp", Port: 631, ALPN: []string{"http/1.1"}, Title: "IPP, printing", Reference: "RFC 2817, RFC 8010",
	Unadvertised: true, SpeaksAfterTLS: true,
}})

type http struct{ info starttls.Info }

func (p http) Info() starttls.Info { return p.info }

// httpTLS are the versions named in Upgrade: some servers know only one.
const httpTLS = "TLS/1.2, TLS/1.0"

// httpHead is a request or a response without its body.
type httpHead struct {
	first  string // request line or status line
	fields []string
	raw    []byte
}

// readHTTP reads a head up to the empty line.
func readHTTP(w *starttls.Wire) (h httpHead, err error) {
	for {
		line, err := w.ReadLine()
		if err != nil {
			return h, err
		}
		h.raw = append(h.raw, line+"\r\n"...)
		switch {
		case line == "" && h.first != "":
			return h, nil
		case h.first == "":
			h.first = line
		default:
			h.fields = append(h.fields, line)
		}
	}
}

// get is the value of a field, those of its name joined by commas.
func (h httpHead) get(name string) string {
	var out []string
	for _, f := range h.fields {
		if n, v, ok := strings.Cut(f, ":"); ok && strings.EqualFold(n, name) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return strings.Join(out, ", ")
}

// upgradesToTLS reports whether Upgrade names TLS.
func (h httpHead) upgradesToTLS() bool {
	return slices.ContainsFunc(strings.Split(h.get("Upgrade"), ","), func(s string) bool {
		return strings.HasPrefix(strings.ToUpper(strings.TrimSpace(s)), "TLS/")
	})
}

// status is the status code of a response, or 0.
func (h httpHead) status() int {
	version, rest, _ := strings.Cut(h.first, " ")
	code, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(code)
	if !strings.HasPrefix(version, "HTTP/1.") || err != nil || n < 100 || n > 599 {
		return 0
	}
	return n
}

// skipBody reads over a body of known length.
func (h httpHead) skipBody(w *starttls.Wire) error {
	n, err := strconv.Atoi(or(h.get("Content-Length"), "0"))
	if err != nil || h.get("Transfer-Encoding") != "" {
		return &starttls.ReplyError{Expected: "a body of known length", Reply: []byte(h.first)}
	}
	_, err = w.ReadN(n)
	return err
}

// ask sends OPTIONS * and reads the head of the answer to it.
func (p http) ask(w *starttls.Wire, send func([]byte) error, fields string) (httpHead, error) {
	if err := send([]byte("OPTIONS * HTTP/1.1\r\nHost: " + w.ServerName() + "\r\n" + fields + "\r\n")); err != nil {
		return httpHead{}, err
	}
	return readHTTP(w)
}

func (p http) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		if w.Upgraded() { // the answer to OPTIONS is still to come (RFC 2817, section 3.3)
			return p.answer(w)
		}
		return h, nil
	}
	r, err := p.ask(w, w.Ask, "Upgrade: "+httpTLS+"\r\nConnection: Upgrade\r\n")
	if err != nil {
		return h, err
	}
	h.Software = r.get("Server")
	switch status := r.status(); {
	case status == 0:
		return h, &starttls.ReplyError{Expected: "an HTTP response", Reply: r.raw}
	case status != 101:
		return h, &starttls.RefusedError{Reply: r.raw, Text: r.first, Temporary: status == 503}
	case !r.upgradesToTLS():
		return h, &starttls.ReplyError{Expected: "Upgrade: TLS", Reply: r.raw}
	}
	h.Offered = true
	return h, r.skipBody(w) // a 101 has none, but CUPS says that it is empty
}

// answer reads a response and what it tells of the server.
func (p http) answer(w *starttls.Wire) (h starttls.Hello, err error) {
	r, err := readHTTP(w)
	if err != nil {
		return h, err
	}
	if r.status() == 0 {
		return h, &starttls.ReplyError{Expected: "an HTTP response", Reply: r.raw}
	}
	h.Software = r.get("Server")
	h.Offered = r.upgradesToTLS()
	if allow := r.get("Allow"); allow != "" {
		h.Caps = []string{"Allow: " + allow}
	}
	if h.Offered {
		h.Caps = append(h.Caps, "Upgrade: "+r.get("Upgrade"))
	}
	if scheme, _ := verb(r.get("WWW-Authenticate")); scheme != "" {
		h.Auth = []string{scheme}
	}
	return h, r.skipBody(w)
}

func (p http) Probe(w *starttls.Wire) (starttls.Hello, error) {
	if _, err := w.Write([]byte("OPTIONS * HTTP/1.1\r\nHost: " + w.ServerName() + "\r\n\r\n")); err != nil {
		return starttls.Hello{}, err
	}
	return p.answer(w)
}

// Injection expects what nobody knows, for which there is a status of its own
// (RFC 9110, section 10.1.1; CUPS looks at no more than the number it begins
// with), or the one that asks for TLS. A request without a host is a bad one
// (RFC 9112, section 3.2).
func (p http) Injection(serverName, marker string) starttls.Injection {
	return starttls.Injection{
		Probe:    []byte("POST /" + marker + " HTTP/1.1\r\nHost: " + serverName + "\r\nExpect: 7-" + marker + "\r\nContent-Length: 0\r\n\r\n"),
		Control:  []byte("GET /" + twin(marker) + " HTTP/1.1\r\n\r\n"),
		Classify: classifyHolds("HTTP/1.1 400 ", "HTTP/1.1 417 ", "HTTP/1.1 426 "),
	}
}
