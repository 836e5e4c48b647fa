package protocol

import (
	"fmt"
	"strings"

	"example.org/starttls"
)

// Serve speaks a minimal session: sign-in, resource binding, an answer to every
// question. Between servers it shows its features and answers nothing.
func (p xmpp) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	x, features := newXMLReader(w), xmppMechanisms(h)
	if p.info.Relay {
		features = "<dialback xmlns='urn:xmpp:features:dialback'/>"
	}
	x.spaces = map[string]string{"": p.namespace, "stream": nsStreams}
	for {
		tag, err := peekTag(w)
		if err != nil {
			return err
		}
		if strings.HasPrefix(tag, "<?xml ") || strings.HasPrefix(tag, "<stream:stream") {
			if x, _, err = p.accept(w, features); err != nil {
				return err
			}
			continue
		}
		x.raw = nil
		e, _, end, err := x.element()
		if err != nil {
			return err
		}
		if end {
			_, err := w.Write([]byte("</stream:stream>"))
			return err
		}
		switch e.name.Local {
		case "auth":
			reply := "<failure xmlns='" + nsSASL + "'><malformed-request/></failure>"
			if user, secret, ok := plainSecret(strings.TrimSpace(e.text)); ok && e.attrs["mechanism"] == "PLAIN" {
				sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PLAIN", User: user, Secret: secret})
				reply = "<success xmlns='" + nsSASL + "'/>"
				features = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
			}
			_, err = w.Write([]byte(reply))
		case "iq":
			_, err = w.Write([]byte(xmppResult(w, e)))
		case "message":
			sink.Tell(starttls.Leak{What: "content"})
		case "presence":
		default:
			err = w.Refused()
		}
		if err != nil {
			return err
		}
	}
}

func xmppResult(w *starttls.Wire, iq xmlElement) string {
	const nsBind = "urn:ietf:params:xml:ns:xmpp-bind"
	content := ""
	if iq.child(nsBind, "bind") != nil {
		content = fmt.Sprintf("<bind xmlns='%s'><jid>user@%s/demo</jid></bind>", nsBind, escapeXML(w.ServerName()))
	}
	return fmt.Sprintf("<iq type='result' id='%s'>%s</iq>", escapeXML(iq.attrs["id"]), content)
}
