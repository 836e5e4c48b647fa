package protocol

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"

	"example.org/starttls"
)

// XMPPClient is XMPP between clients and servers, RFC 6120 section 5.
var XMPPClient = register(xmpp{info: starttls.Info{
	Name: "xmpp-client", Aliases: []string{"xmpp", "xmpp-c2s", "jabber"}, Port: 5222, ImplicitTLS: 5223, ALPN: []string{"xmpp-client"},
	Title: "XMPP, instant messages", Reference: "RFC 6120", HelloInTLS: true,
}, namespace: "jabber:client"})

// XMPPServer is XMPP between servers, RFC 6120 section 5.
var XMPPServer = register(xmpp{info: starttls.Info{
	Name: "xmpp-server", Aliases: []string{"xmpp-s2s"}, Port: 5269, ImplicitTLS: 5270, ALPN: []string{"xmpp-server"},
	Title: "XMPP between servers", Reference: "RFC 6120", HelloInTLS: true, Relay: true,
}, namespace: "jabber:server"})

type xmpp struct {
	info      starttls.Info
	namespace string
}

const (
	nsStreams = "http://etherx.jabber.org/streams"
	nsTLS     = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL    = "urn:ietf:params:xml:ns:xmpp-sasl"
)

func (p xmpp) Info() starttls.Info { return p.info }

func (p xmpp) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	x, err := p.stream(w, &h)
	if err != nil {
		return h, err
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	if err := w.Ask([]byte("<starttls xmlns='" + nsTLS + "'/>")); err != nil {
		return h, err
	}
	x.raw = nil
	e, text, _, err := x.element()
	if err != nil {
		return h, err
	}
	switch {
	case text != "": // no white space is allowed here (RFC 6120, section 5.3.3)
	case e.name.Space == nsTLS && e.name.Local == "proceed":
		return h, nil
	case e.name.Space == nsTLS && e.name.Local == "failure", isStreamError(e):
		return h, &starttls.RefusedError{Reply: x.raw}
	}
	return h, x.malformed("<proceed/>")
}

func isStreamError(e xmlElement) bool { return e.name.Space == nsStreams && e.name.Local == "error" }

// stream opens a stream and reads the server's header and features into h.
func (p xmpp) stream(w *starttls.Wire, h *starttls.Hello) (*xmlReader, error) {
	from := ""
	if p.info.Relay {
		from = " from='" + escapeXML(w.LocalName()) + "'"
	}
	header := fmt.Sprintf("<?xml version='1.0'?><stream:stream to='%s'%s version='1.0' xmlns='%s' xmlns:stream='%s'>", escapeXML(w.ServerName()), from, p.namespace, nsStreams)
	if _, err := w.Write([]byte(header)); err != nil {
		return nil, err
	}
	x := newXMLReader(w)
	e, spaces, empty, end, _, err := x.open()
	if err != nil {
		return nil, err
	}
	if empty || end || e.name.Space != nsStreams || e.name.Local != "stream" {
		return nil, x.malformed("a stream header")
	}
	x.spaces = spaces
	if !strings.HasPrefix(e.attrs["version"], "1.") {
		return x, nil // from before 1.0: no features will come (RFC 6120, section 4.7.5)
	}
	x.raw = nil
	f, _, end, err := x.element()
	if err != nil {
		return nil, err
	}
	if isStreamError(f) {
		return nil, &starttls.RefusedError{Reply: x.raw}
	}
	if end || f.name.Space != nsStreams || f.name.Local != "features" {
		return nil, x.malformed("stream features")
	}
	for _, c := range f.children {
		h.Caps = append(h.Caps, c.name.Local)
	}
	if s := f.child(nsTLS, "starttls"); s != nil {
		h.Offered, h.Required = true, s.child(nsTLS, "required") != nil
	}
	if m := f.child(nsSASL, "mechanisms"); m != nil {
		for _, c := range m.children {
			h.Auth = appendNew(h.Auth, strings.ToUpper(strings.TrimSpace(c.text)))
		}
	}
	return x, nil
}

// Probe opens a stream inside TLS and reads its features. A session must begin
// with a stream header of its own.
func (p xmpp) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	_, err := p.stream(w, &h)
	return h, err
}

// Server negotiates in clear with a stream of its own. Where TLS is hidden it
// returns at once, and Serve opens the stream; where it is optional and not
// asked for, the stream stays open with the first other element unread.
func (p xmpp) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer || offer.Mode == starttls.Hide {
		return out, nil
	}
	w.Redact(func(msg []byte) []byte {
		if bytes.HasPrefix(msg, []byte("<stream:stream ")) || bytes.HasPrefix(msg, []byte("<?xml ")) || bytes.HasPrefix(msg, []byte("<starttls ")) {
			return msg
		}
		return fmt.Appendf(nil, "[%d bytes of XML]", len(msg))
	})
	features := "<starttls xmlns='" + nsTLS + "'><required/></starttls>"
	if offer.Mode == starttls.Optional {
		features = "<starttls xmlns='" + nsTLS + "'/>" + xmppMechanisms(h)
	}
	if offer.Keyword != "" {
		features = strings.ReplaceAll(features, "starttls", offer.Keyword)
	}
	x, to, err := p.accept(w, features)
	out.Peer = to
	if err != nil {
		return out, err
	}
	if offer.Mode == starttls.Optional {
		if tag, err := peekTag(w); err != nil || !strings.HasPrefix(tag, "<starttls") {
			return out, err
		}
	}
	e, _, end, err := x.element()
	switch {
	case err != nil:
		return out, err
	case end:
		w.Write([]byte("</stream:stream>"))
		return out, starttls.ErrNotUpgraded
	case e.name.Space != nsTLS || e.name.Local != "starttls":
		w.Write([]byte("<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"))
		return out, starttls.ErrNotUpgraded
	case offer.Mode == starttls.Decline:
		_, err := w.Write([]byte(override(offer, "<failure xmlns='"+nsTLS+"'/></stream:stream>")))
		return out, cmpErr(err, starttls.ErrNotUpgraded)
	}
	out.TLS = true
	return out, w.GoAhead([]byte(override(offer, "<proceed xmlns='"+nsTLS+"'/>")))
}

// accept reads a client's stream header and answers with one of its own, a new
// identifier, and features.
func (p xmpp) accept(w *starttls.Wire, features string) (x *xmlReader, to string, err error) {
	x = newXMLReader(w)
	e, spaces, empty, end, _, err := x.open()
	if err != nil {
		return nil, "", err
	}
	if empty || end || e.name.Space != nsStreams || e.name.Local != "stream" {
		return nil, "", x.malformed("a stream header")
	}
	x.spaces = spaces
	_, err = fmt.Fprintf(w, "<?xml version='1.0'?><stream:stream from='%s' id='%s' version='1.0' xmlns='%s' xmlns:stream='%s'><stream:features>%s</stream:features>",
		escapeXML(or(e.attrs["to"], w.ServerName())), rand.Text(), p.namespace, nsStreams, features)
	return x, e.attrs["to"], err
}

func xmppMechanisms(h starttls.Hello) string {
	mechanisms := h.Auth
	if mechanisms == nil {
		mechanisms = []string{"PLAIN"}
	}
	return "<mechanisms xmlns='" + nsSASL + "'><mechanism>" + strings.Join(mechanisms, "</mechanism><mechanism>") + "</mechanism></mechanisms>"
}

// peekTag returns the next tag, or as much of it as tells what it is.
func peekTag(w *starttls.Wire) (string, error) {
	for n := 1; ; n++ {
		b, err := w.Peek(n)
		if err != nil || bytes.IndexByte(b, '>') >= 0 || n >= 16 {
			return string(b), err
		}
	}
}
