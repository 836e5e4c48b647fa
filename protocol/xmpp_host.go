package protocol

import (
	"errors"
	"fmt"
	"strings"

	"example.org/starttls"
)

// Serve speaks a minimal session: sign-in, resource binding, an answer to every
// question. Between servers it shows its features and answers nothing. It takes
// up a stream that the half in clear left open (Offer.Mode Optional), if it was
// opened with the usual prefixes.
func (p xmpp) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	features := p.sessionFeatures(w, h)
	x := &xmlReader{w: w}
	x.within("<stream:stream xmlns='" + p.namespace + "' xmlns:stream='" + nsStreams + "'>")
	for {
		kind, e, err := x.next()
		switch {
		case errors.As(err, new(*starttls.ReplyError)):
			return cmpErr(streamError(w, "not-well-formed"), err)
		case err != nil:
			return err
		case kind == xmlEnd:
			_, err := w.Write([]byte("</stream:stream>"))
			return err
		case kind == xmlHeader:
			err = p.answer(w, &e, features)
		case e.is(nsSASL, "auth"):
			var reply string
			if reply = xmppSignIn(&e, sink); strings.HasPrefix(reply, "<success") {
				features = "<bind xmlns='" + nsBind + "'/>"
			}
			_, err = w.Write([]byte(reply))
		case e.is(p.namespace, "iq"):
			if e.child(nsLegacyAuth, "query") != nil { // XEP-0078: names its user, and may hold the password
				sink.Tell(starttls.Leak{What: "metadata"})
			}
			err = xmppResult(w, &e)
		case e.is(p.namespace, "message"):
			sink.Tell(starttls.Leak{What: "content"})
		case e.is(p.namespace, "presence"):
		default: // RFC 6120, section 4.9.3.24
			return streamError(w, "unsupported-stanza-type")
		}
		if err != nil {
			return err
		}
	}
}

// sessionFeatures is what the session offers. In clear, sign-in is offered only
// if it was asked for by h.Auth.
func (p xmpp) sessionFeatures(w *starttls.Wire, h starttls.Hello) string {
	mechanisms, dialback := h.Auth, ""
	if p.info.Role == starttls.Relay {
		dialback = "<dialback xmlns='urn:xmpp:features:dialback'/>"
	} else if mechanisms == nil && w.TLS() {
		mechanisms = []string{"PLAIN"}
	}
	if len(mechanisms) == 0 {
		return dialback
	}
	return "<mechanisms xmlns='" + nsSASL + "'><mechanism>" + strings.Join(mechanisms, "</mechanism><mechanism>") + "</mechanism></mechanisms>" + dialback
}

func xmppSignIn(auth *xmlElement, sink starttls.Sink) (reply string) {
	if auth.attr("mechanism") != "PLAIN" {
		return "<failure xmlns='" + nsSASL + "'><invalid-mechanism/></failure>"
	}
	user, secret, ok := plainSecret(strings.TrimSpace(auth.Text))
	if !ok {
		return "<failure xmlns='" + nsSASL + "'><malformed-request/></failure>"
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PLAIN", User: user, Secret: secret})
	return "<success xmlns='" + nsSASL + "'/>"
}

// xmppResult answers a question; what is no question gets no answer (RFC 6120,
// section 8.2.3).
func xmppResult(w *starttls.Wire, iq *xmlElement) error {
	if kind := iq.attr("type"); kind != "get" && kind != "set" {
		return nil
	}
	content := ""
	if iq.child(nsBind, "bind") != nil {
		content = fmt.Sprintf("<bind xmlns='%s'><jid>user@%s/demo</jid></bind>", nsBind, escapeXML(w.ServerName()))
	}
	_, err := fmt.Fprintf(w, "<iq type='result' id='%s'>%s</iq>", escapeXML(iq.attr("id")), content)
	return err
}
