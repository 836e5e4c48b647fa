package protocol

import (
	"strings"

	"example.org/starttls"
)

// Tests are those of RFC 2817, sections 3 and 4, and RFC 9110, section 7.8.
func (p http) Tests() []starttls.Test {
	return []starttls.Test{p.notRequired(), p.noConnection()}
}

// notRequired asks in clear for something that hardly exists.
func (p http) notRequired() starttls.Test {
	return starttls.Test{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		if _, err := w.Write([]byte("GET /" + nobody() + " HTTP/1.1\r\nHost: " + w.ServerName() + "\r\n\r\n")); err != nil {
			return starttls.Verdict{}, err
		}
		r, err := readHTTP(w)
		switch status := r.status(); {
		case err != nil:
			return starttls.Verdict{}, err
		case status == 426 || status/100 == 3 && strings.HasPrefix(strings.ToLower(r.get("Location")), "https:"):
			return sound("a request in clear is answered by %q", r.first)
		case status < 200 || status == 400 || status >= 500:
			return untold(r.first)
		}
		return fault("a request in clear is answered by %q", r.first)
	}}
}

// noConnection asks for TLS without the field that makes of Upgrade a request:
// one that a proxy has passed on, which did not know the field, is none.
func (p http) noConnection() starttls.Test {
	return starttls.Test{ID: "upgrade-no-connection", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		r, err := p.ask(w, func(msg []byte) error { _, err := w.Write(msg); return err }, "Upgrade: "+httpTLS+"\r\n")
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case r.status() == 101:
			return fault("Upgrade without Connection is answered by %q", r.first)
		}
		return sound("Upgrade without Connection is answered by %q", r.first)
	}}
}
