package protocol

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"example.org/starttls"
)

// Server answers the commands of the file in their order, and again if they are
// said again. All else is denied, as is the request for TLS that comes before
// the last of them.
func (d *dialogueProtocol) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if err := d.canServe(offer); err != nil {
		return out, err
	}
	w.Redact(d.known)
	greeting := h.Greeting
	if greeting == nil {
		greeting = d.words(d.greeting.says, offer, w.ServerName(), "")
	}
	if len(greeting) > 0 {
		if _, err := w.Write(greeting); err != nil {
			return out, err
		}
	}
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	for said := 0; ; { // how many of the commands, in their order
		line, err := w.PeekLine()
		if err != nil {
			return out, err
		}
		i := d.heard(line, said)
		asked := i < 0 && d.ask.heard.MatchString(line)
		if i < 0 && !asked && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional) {
			return out, nil // a command of the session
		}
		if _, err := w.ReadLine(); err != nil {
			return out, err
		}
		switch {
		case i >= 0 && i <= said:
			said = max(said, i+1)
			out.Peer = or(d.clear[i].peer(line), out.Peer)
			_, err = w.Write(d.words(d.clear[i].says, offer, w.ServerName(), out.Peer))
		case asked && offer.Mode == starttls.Decline:
			err = d.refuse(w, override(offer, d.deny), out.Peer)
		case asked && offer.Mode != starttls.Hide && said == len(d.clear):
			out.TLS = true
			says := d.ask.says
			if len(offer.Reply) > 0 {
				says = []string{override(offer, "")}
			}
			return out, w.GoAhead(d.words(says, offer, w.ServerName(), out.Peer))
		case isHTTP(line):
			d.refuse(w, d.deny, out.Peer)
			err = &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
		default:
			err = d.refuse(w, d.deny, out.Peer)
		}
		if err != nil {
			return out, err
		}
	}
}

// canServe reports why this offer can not be made.
func (d *dialogueProtocol) canServe(o starttls.Offer) error {
	if !d.serves {
		return fmt.Errorf("the dialogue of %s does not tell what the server says", d.info.Name)
	}
	if o.Keyword != "" && (d.offer == nil || d.offer.NumSubexp() == 0) {
		return fmt.Errorf("the dialogue of %s does not tell which word offers TLS", d.info.Name)
	}
	return nil
}

// heard finds the command that a line is, the one whose turn it is first; -1 if
// it is none.
func (d *dialogueProtocol) heard(line string, said int) int {
	if said < len(d.clear) && d.clear[said].heard.MatchString(line) {
		return said
	}
	return slices.IndexFunc(d.clear, func(t dialogueTurn) bool { return t.heard.MatchString(line) })
}

// peer is what the client called itself in its command; "" if it has no place
// for that.
func (t *dialogueTurn) peer(line string) string {
	if m := t.heard.FindStringSubmatch(line); len(m) > 1 {
		return m[1]
	}
	return ""
}

// words is what the server says, with the two names, and with the line that
// offers TLS changed or left out as offer has it.
func (d *dialogueProtocol) words(says []string, offer starttls.Offer, server, peer string) []byte {
	if !offers(offer) {
		says = d.without(says)
	}
	var b []byte
	for _, line := range says {
		if offer.Keyword != "" {
			if at := d.offer.FindStringSubmatchIndex(line); at != nil && at[2] >= 0 {
				line = line[:at[2]] + offer.Keyword + line[at[3]:]
			}
		}
		b = append(b, fillDialogue(line, server, or(peer, "localhost"))+d.end...)
	}
	return b
}

// without gives says without the line that offers TLS.
func (d *dialogueProtocol) without(says []string) []string {
	return slices.DeleteFunc(slices.Clone(says), func(l string) bool { return d.offer != nil && d.offer.MatchString(l) })
}

// refuse says what it says to commands that are not allowed, and counts them.
func (d *dialogueProtocol) refuse(w *starttls.Wire, reply, peer string) error {
	if _, err := w.Write(d.words([]string{reply}, starttls.Offer{}, w.ServerName(), peer)); err != nil {
		return err
	}
	return w.Refused()
}

// known keeps, for a transcript, whole lines that stand in the file; of all else,
// which may be a secret, a length.
func (d *dialogueProtocol) known(msg []byte) []byte {
	line := strings.TrimRight(string(msg), "\r\n")
	if d.heard(line, 0) >= 0 || d.ask.heard.MatchString(line) {
		return msg
	}
	return fmt.Appendf(nil, "[%d bytes]", len(msg))
}

// Serve answers the commands that the file has for inside TLS, in any order, and
// denies all else, until the client closes.
func (d *dialogueProtocol) Serve(w *starttls.Wire, _ starttls.Hello, _ starttls.Sink) error {
	if err := d.canServe(starttls.Offer{}); err != nil {
		return err
	}
	session := d.probe
	if d.inject.heard != nil {
		session = append(slices.Clone(session), d.inject)
	}
	for {
		line, err := w.ReadLine()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		i := slices.IndexFunc(session, func(t dialogueTurn) bool { return t.heard.MatchString(line) })
		if i < 0 {
			err = d.refuse(w, d.deny, "")
		} else {
			_, err = w.Write(d.words(session[i].says, starttls.Offer{}, w.ServerName(), session[i].peer(line)))
		}
		if err != nil {
			return err
		}
	}
}
