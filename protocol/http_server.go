package protocol

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"example.org/starttls"
)

// Server upgrades at OPTIONS with Upgrade: TLS. Any other request has 426 for
// an answer, which asks for the upgrade (RFC 2817, section 4.2): what it asked
// for was said in clear, and must be said again inside.
func (p http) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(httpRedact)
	if offer.Mode == starttls.NoOffer {
		if w.Upgraded() { // the answer to OPTIONS, which comes inside TLS
			_, err = w.Write(httpResponse("200 OK", h, "Allow: GET, HEAD, OPTIONS", ""))
		}
		return out, err
	}
	for {
		line, err := w.PeekLine()
		if err != nil {
			return out, err
		}
		options := strings.HasPrefix(line, "OPTIONS ")
		if offer.Mode == starttls.Hide || offer.Mode == starttls.Optional && !options {
			return out, nil
		}
		r, err := readHTTP(w)
		if err != nil {
			return out, err
		}
		if !strings.HasSuffix(r.first, " HTTP/1.1") {
			w.Write(httpResponse("400 Bad Request", h, "Connection: close", ""))
			return out, &starttls.ReplyError{Expected: "a request of HTTP/1.1", Reply: []byte(r.first)}
		}
		reply := httpResponse("426 Upgrade Required", h, "Upgrade: "+or(offer.Keyword, httpTLS)+", HTTP/1.1\r\nConnection: Upgrade", "TLS is required\n")
		switch {
		case options && r.asksForTLS() && offer.Mode == starttls.Decline:
			reply = []byte(override(offer, string(httpResponse("503 Service Unavailable", h, "Retry-After: 60", "TLS is not available now\n"))))
		case options && r.asksForTLS():
			out.TLS = true
			return out, w.GoAhead([]byte(override(offer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "+httpTLS+", HTTP/1.1\r\nConnection: Upgrade\r\n") + "\r\n"))
		case options && offer.Mode == starttls.Optional:
			reply = httpResponse("200 OK", h, "Allow: GET, HEAD, OPTIONS\r\nUpgrade: "+httpTLS+", HTTP/1.1\r\nConnection: Upgrade", "")
		}
		if _, err := w.Write(reply); err != nil {
			return out, err
		}
		if r.get("Content-Length") != "" || r.get("Transfer-Encoding") != "" { // a body nobody wants
			return out, starttls.ErrNotUpgraded
		}
		if err := w.Refused(); err != nil {
			return out, err
		}
	}
}

// asksForTLS reports whether a request asks for the upgrade: by Upgrade, and by
// Connection, without which the field is not for this hop (RFC 9110, section 7.8).
func (h httpHead) asksForTLS() bool {
	return h.upgradesToTLS() && slices.ContainsFunc(strings.Split(h.get("Connection"), ","), func(s string) bool {
		return strings.EqualFold(strings.TrimSpace(s), "Upgrade")
	})
}

// httpRedact keeps request lines without what they ask for, and the fields that
// are about the upgrade.
func httpRedact(msg []byte) []byte {
	line := strings.TrimRight(string(msg), "\r\n")
	name, rest, field := strings.Cut(line, ":")
	switch strings.ToLower(name) {
	case "upgrade", "connection", "host", "":
		return msg
	}
	if method, target, ok := strings.Cut(line, " "); ok && strings.Contains(target, "HTTP/1.") && len(method) <= 16 && isHTTP(line) {
		if target == "* HTTP/1.1" {
			return msg
		}
		return fmt.Appendf(nil, "%s [%d bytes]", method, len(target))
	}
	if field && len(name) <= 32 && strings.HasPrefix(rest, " ") && !strings.ContainsAny(name, " \t\"'") {
		return fmt.Appendf(nil, "%s: [%d bytes]", name, len(rest)-1)
	}
	return fmt.Appendf(nil, "[%d bytes]", len(msg))
}

func httpResponse(status string, h starttls.Hello, fields, body string) []byte {
	return []byte("HTTP/1.1 " + status + "\r\nServer: " + or(h.Software, "starttls") + "\r\n" + fields + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// Serve answers every request with a line of text.
func (p http) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		r, err := readHTTP(w)
		if err != nil {
			return err
		}
		if err := r.skipBody(w); err != nil {
			w.Write(httpResponse("411 Length Required", h, "Connection: close", ""))
			return err
		}
		if scheme, value, _ := strings.Cut(r.get("Authorization"), " "); strings.EqualFold(scheme, "Basic") {
			b, _ := base64.StdEncoding.DecodeString(value)
			user, secret, _ := strings.Cut(string(b), ":")
			sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "BASIC", User: user, Secret: []byte(secret)})
		}
		reply := httpResponse("200 OK", h, "Content-Type: text/plain", "starttls\n")
		switch method, _ := verb(r.first); {
		case r.get("Host") == "":
			reply = httpResponse("400 Bad Request", h, "Content-Type: text/plain", "no host is named\n")
		case !strings.EqualFold(or(r.get("Expect"), "100-continue"), "100-continue"):
			reply = httpResponse("417 Expectation Failed", h, "Content-Type: text/plain", "")
		case method == "OPTIONS":
			reply = httpResponse("200 OK", h, "Allow: GET, HEAD, OPTIONS", "")
		case method == "HEAD":
			reply = httpResponse("200 OK", h, "Content-Type: text/plain", "")
		default:
			sink.Tell(starttls.Leak{What: "content"})
		}
		if _, err := w.Write(reply); err != nil {
			return err
		}
		if strings.EqualFold(r.get("Connection"), "close") {
			return nil
		}
	}
}
