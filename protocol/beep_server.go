package protocol

import (
	"strings"

	"example.org/starttls"
)

// greeting lists the profiles: without those of sign-in where TLS must come
// first, and with as many blanks as TLS's would take where there is none. So
// Serve knows how much the channel has carried by then.
func (beep) greeting(h starttls.Hello, offer starttls.Offer) string {
	profiles := h.Caps
	if profiles == nil {
		profiles = []string{beepSASL + "PLAIN"}
	}
	var b strings.Builder
	for _, uri := range profiles {
		if first := offer.Mode == starttls.Grant || offer.Mode == starttls.Decline; uri != beepTLS && !(first && strings.HasPrefix(uri, beepSASL)) {
			b.WriteString(beepProfile(uri, ""))
		}
	}
	tls := beepProfile(or(offer.Keyword, beepTLS), "")
	if !offers(offer) {
		tls = strings.Repeat(" ", len(tls))
	}
	return beepXML("<greeting>" + b.String() + tls + "</greeting>")
}

// Server greets and reads until TLS is asked for. Where TLS is not required, it
// stops at the first message that is no request for it; where there is none, at
// the first at all, for then a profile for TLS is like any other.
func (p beep) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	greeting := p.greeting(h, offer)
	said := len(greeting)
	if _, err := w.Write([]byte(beepFrame("RPY", 0, 0, greeting))); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	for {
		header, payload, _, err := peekBEEP(w)
		if err != nil {
			return out, err
		}
		next := beepMessage{xmlElement: parseBEEP(payload)}
		ready := next.content(beepTLS)
		request := header[0] == "MSG" && next.is("", "start") && ready.is("", "ready")
		if header[0] == "MSG" && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional && !request) {
			return out, nil
		}
		m, err := readBEEP(w)
		if err != nil {
			return out, err
		}
		switch {
		case m.kind == "ERR": // in the place of a greeting
			return out, starttls.ErrNotUpgraded
		case m.kind == "RPY":
			continue
		case request && offer.Mode != starttls.Decline:
			out.TLS, out.Peer = true, next.attr("serverName")
			reply := beepFrame("RPY", m.number, said, beepXML(beepProfile(beepTLS, "<proceed />")))
			return out, w.GoAhead([]byte(or(string(offer.Reply), reply)))
		case m.is("", "close"):
			_, err = w.Write([]byte(beepFrame("RPY", m.number, said, beepXML("<ok />"))))
			return out, cmpErr(err, starttls.ErrNotUpgraded)
		}
		reply := beepXML(beepError("550", "start TLS first: nothing is accepted in clear"))
		if request {
			reply = beepXML(beepError("450", "TLS is not available now"))
		}
		said += len(reply)
		if _, err := w.Write([]byte(beepFrame("ERR", m.number, said-len(reply), reply))); err != nil {
			return out, err
		}
		if err := w.Refused(); err != nil {
			return out, err
		}
	}
}

// Serve speaks a session in which one can sign in, by SASL PLAIN on the start of
// its channel (RFC 3080, section 4.1), and nothing else.
func (p beep) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	said := len(p.greeting(h, starttls.Offer{Mode: starttls.NoOffer}))
	for {
		m, err := readBEEP(w)
		if err != nil {
			return err
		}
		if m.kind != "MSG" { // the client's greeting
			continue
		}
		const plain = beepSASL + "PLAIN"
		blob := m.content(plain)
		user, secret, ok := plainSecret(strings.TrimSpace(blob.Text))
		kind, reply := "RPY", ""
		switch {
		case m.is("", "close") && m.attr("number") == "0":
			_, err := w.Write([]byte(beepFrame(kind, m.number, said, beepXML("<ok />"))))
			return err
		case m.is("", "start") && blob.is("", "blob") && ok:
			sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PLAIN", User: user, Secret: secret})
			reply = beepXML(beepProfile(plain, "<blob status='complete' />"))
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			kind, reply = "ERR", beepXML(beepError("550", "this can not be had here"))
		}
		if _, err := w.Write([]byte(beepFrame(kind, m.number, said, reply))); err != nil {
			return err
		}
		said += len(reply)
	}
}
