package protocol

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"example.org/starttls"
)

// XMPPClient is XMPP between clients and servers, RFC 6120 section 5. In
// Offer.Mode Hide its server's half does nothing, as in NoOffer: a stream can
// not be unread, so the session begins with it. In Optional, a client that goes
// on without TLS does so in the stream it has opened.
var XMPPClient = register(xmpp{info: starttls.Info{
	Name: "xmpp-client", Aliases: []string{"xmpp", "xmpp-c2s", "jabber"}, Port: 5222, ImplicitTLS: 5223, SRV: "xmpp-client", SRVImplicit: "xmpps-client", NamesDomain: true, ALPN: []string{"xmpp-client"},
	Title: "XMPP, instant messages", Reference: "RFC 6120", HelloInTLS: true, Unordered: true,
}, namespace: "jabber:client"})

// XMPPServer is XMPP between servers, RFC 6120 section 5. Its modes Hide and
// Optional are those of XMPPClient.
var XMPPServer = register(xmpp{info: starttls.Info{
	Name: "xmpp-server", Aliases: []string{"xmpp-s2s"}, Port: 5269, ImplicitTLS: 5270, SRV: "xmpp-server", SRVImplicit: "xmpps-server", NamesDomain: true, ALPN: []string{"xmpp-server"},
	Title: "XMPP between servers", Reference: "RFC 6120", HelloInTLS: true, Unordered: true, Role: starttls.Relay,
}, namespace: "jabber:server"})

type xmpp struct {
	info      starttls.Info
	namespace string
}

const (
	nsStreams    = "http://etherx.jabber.org/streams"
	nsTLS        = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL       = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBind       = "urn:ietf:params:xml:ns:xmpp-bind"
	nsLegacyAuth = "jabber:iq:auth" // XEP-0078
)

func (p xmpp) Info() starttls.Info { return p.info }

func (p xmpp) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	x, err := p.open(w, &h)
	if err != nil {
		return h, err
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	// White space may stand between elements until TLS is asked for (RFC 6120,
	// sections 4.6.1 and 5.3.3), and none from there to <proceed/>.
	if err := x.skipBlanks(); err != nil {
		return h, err
	}
	if err := w.Ask([]byte("<starttls xmlns='" + nsTLS + "'/>")); err != nil {
		return h, err
	}
	kind, e, err := x.next()
	switch {
	case err != nil:
		return h, err
	case kind != xmlChild || x.raw[0] != '<':
		return h, x.malformed("<proceed/>")
	case e.is(nsTLS, "proceed"):
		return h, nil
	case e.is(nsTLS, "failure"), e.is(nsStreams, "error"):
		return h, &starttls.RefusedError{Reply: x.raw}
	}
	return h, x.malformed("<proceed/>")
}

// open opens a stream and reads the server's header and features into h. A
// stream error is a refusal, <see-other-host/> too: in clear nobody knows who
// says it.
func (p xmpp) open(w *starttls.Wire, h *starttls.Hello) (*xmlReader, error) {
	from := ""
	if p.info.Role == starttls.Relay { // a client does not say in clear who it is (RFC 6120, section 4.7.1)
		from = w.LocalName()
	}
	if _, err := w.Write([]byte("<?xml version='1.0'?>" + p.header(w.ServerName(), from))); err != nil {
		return nil, err
	}
	x := &xmlReader{w: w}
	kind, e, err := x.next()
	if err != nil {
		return nil, err
	}
	if kind != xmlHeader || !e.is(nsStreams, "stream") {
		return nil, x.malformed("a stream header")
	}
	if !strings.HasPrefix(e.attr("version"), "1.") {
		return x, nil // from before 1.0: no features will come (RFC 6120, section 4.7.5)
	}
	if kind, e, err = x.next(); err != nil {
		return nil, err
	}
	if kind == xmlChild && e.is(nsStreams, "error") {
		return nil, &starttls.RefusedError{Reply: x.raw}
	}
	if kind != xmlChild || !e.is(nsStreams, "features") {
		return nil, x.malformed("stream features")
	}
	xmppFeatures(&e, h)
	return x, nil
}

// header opens a stream.
func (p xmpp) header(to, from string) string {
	if from != "" {
		from = " from='" + escapeXML(from) + "'"
	}
	return fmt.Sprintf("<stream:stream to='%s'%s version='1.0' xmlns='%s' xmlns:stream='%s'>",
		escapeXML(to), from, p.namespace, nsStreams)
}

func xmppFeatures(features *xmlElement, h *starttls.Hello) {
	for _, c := range features.Children {
		h.Caps = append(h.Caps, c.XMLName.Local)
	}
	if s := features.child(nsTLS, "starttls"); s != nil {
		h.Offered, h.Required = true, s.child(nsTLS, "required") != nil
	}
	if m := features.child(nsSASL, "mechanisms"); m != nil {
		for _, c := range m.Children {
			h.Auth = appendNew(h.Auth, strings.ToUpper(strings.TrimSpace(c.Text)))
		}
	}
}

// Probe opens a stream and reads its features. The stream stays open: a session
// that goes on with a header of its own opens it anew, which not every server
// takes before a sign-in.
func (p xmpp) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	_, err := p.open(w, &h)
	return h, err
}

func (p xmpp) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer || offer.Mode == starttls.Hide {
		return out, nil
	}
	w.Redact(redactXMPP)
	x := &xmlReader{w: w}
	kind, e, err := x.next()
	if err != nil {
		return out, err
	}
	if kind != xmlHeader {
		return out, x.malformed("a stream header")
	}
	out.Peer = e.attr("to")
	if err := p.answer(w, &e, p.offerFeatures(w, h, offer)); err != nil {
		return out, err
	}
	if offer.Mode == starttls.Optional {
		if name, err := peekName(x); err != nil || name != "starttls" {
			return out, err
		}
	}
	kind, e, err = x.next()
	switch {
	case errors.As(err, new(*starttls.ReplyError)):
		return out, cmpErr(streamError(w, "not-well-formed"), err)
	case err != nil:
		return out, err
	case kind == xmlEnd:
		w.Write([]byte("</stream:stream>"))
		return out, starttls.ErrNotUpgraded
	case kind != xmlChild || !e.is(nsTLS, "starttls"):
		return out, cmpErr(streamError(w, "policy-violation"), starttls.ErrNotUpgraded)
	case offer.Mode == starttls.Decline: // and close (RFC 6120, section 5.4.2.2)
		_, err := w.Write([]byte(override(offer, "<failure xmlns='"+nsTLS+"'/></stream:stream>")))
		return out, cmpErr(err, starttls.ErrNotUpgraded)
	}
	// White space behind the request is forbidden (RFC 6120, section 5.3.3), yet
	// clients end it as a line: it says nothing, and is read in clear.
	if err := x.skipBlanks(); err != nil {
		return out, err
	}
	out.TLS = true
	return out, w.GoAhead([]byte(override(offer, "<proceed xmlns='"+nsTLS+"'/>")))
}

// redactXMPP keeps what opens a stream and asks for TLS.
func redactXMPP(msg []byte) []byte {
	for _, harmless := range []string{"<stream:stream ", "<?xml ", "<starttls "} {
		if bytes.HasPrefix(msg, []byte(harmless)) {
			return msg
		}
	}
	return fmt.Appendf(nil, "[%d bytes of XML]", len(msg))
}

// offerFeatures is what is offered in clear: TLS, and the session's own
// features only where TLS is optional.
func (p xmpp) offerFeatures(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) string {
	keyword := or(offer.Keyword, "starttls")
	if offer.Mode == starttls.Optional {
		return "<" + keyword + " xmlns='" + nsTLS + "'/>" + p.sessionFeatures(w, h)
	}
	return "<" + keyword + " xmlns='" + nsTLS + "'><required/></" + keyword + ">"
}

// answer answers a client's stream header with one of its own, with a new
// identifier (RFC 6120, section 4.7.3), and with features.
func (p xmpp) answer(w *starttls.Wire, header *xmlElement, features string) error {
	if !header.is(nsStreams, "stream") {
		return cmpErr(streamError(w, "invalid-namespace"), &starttls.ReplyError{Expected: "a stream header", Reply: []byte("(not shown)")})
	}
	to := ""
	if from := header.attr("from"); from != "" {
		to = " to='" + escapeXML(from) + "'"
	}
	_, err := fmt.Fprintf(w, "<?xml version='1.0'?><stream:stream from='%s'%s id='%s' version='1.0' xmlns='%s' xmlns:stream='%s'><stream:features>%s</stream:features>",
		escapeXML(or(header.attr("to"), w.ServerName())), to, rand.Text(), p.namespace, nsStreams, features)
	return err
}

// streamError ends the stream (RFC 6120, section 4.9).
func streamError(w *starttls.Wire, condition string) error {
	_, err := w.Write([]byte("<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"))
	return err
}

// peekName returns the name of the next tag, which stays unread; white space
// before it does not. A name too long to be one of ours comes back cut.
func peekName(x *xmlReader) (string, error) {
	for n := 1; ; n++ {
		b, err := x.w.Peek(n)
		if err != nil {
			return "", err
		}
		switch {
		case n == 1 && isBlank(b):
			if err := x.skipBlanks(); err != nil {
				return "", err
			}
			n = 0
		case n > 1 && bytes.ContainsAny(b[1:], " \t\r\n/>"), n >= 64:
			return localName(b), nil
		}
	}
}

// Injection opens a stream, as if TLS were there by now. The answer is a header
// that repeats "from", and features, or, where that must be what it was in
// clear, <improper-addressing/>. No XML declaration comes before: one that a
// parser meets within the old stream would end it.
//
// The control is an element that is neither a stream nor known in one, which is
// answered by another error, of which servers differ (RFC 6120, section 4.9.3).
func (p xmpp) Injection(serverName, marker string) starttls.Injection {
	name, other := strings.ToLower(marker), strings.ToLower(twin(marker))
	const moved, end = "<improper-addressing", "</stream:error>"
	holds := classifyHolds(end, name, "<stream:features", moved)
	return starttls.Injection{
		Probe:   []byte(p.header(serverName, name+"."+serverName)),
		Control: []byte("<" + other + " xmlns='urn:" + other + "'/>"),
		Classify: func(said []byte) starttls.Reply {
			r := holds(said)
			first, _, _ := strings.Cut(string(said), end)
			r.Control = r.Control && !strings.Contains(first, moved)
			return r
		},
	}
}
