package protocol

import (
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
)

// Tests are those of RFC 6120, sections 4.7.3, 5 and 6.3; and of XEP-0170, for
// the order of TLS and compression. Between servers no sign-in is tried: whether
// dialback (XEP-0220) in clear is worth anything shows only once it has succeeded.
func (p xmpp) Tests() []starttls.Test {
	all := []starttls.Test{p.notRequired(), p.twice(), p.sameStream(), p.compress()}
	if p.info.Role != starttls.Relay {
		all = append(all, p.signIn())
	}
	return all
}

// inStream makes a Run that opens a stream and says an element in it.
func (p xmpp) inStream(say string, judge func(e xmlElement, raw string) (starttls.Verdict, error)) func(*starttls.Wire) (starttls.Verdict, error) {
	return func(w *starttls.Wire) (starttls.Verdict, error) {
		var h starttls.Hello
		x, err := p.open(w, &h)
		if err != nil {
			return starttls.Verdict{}, err
		}
		if _, err := w.Write([]byte(say)); err != nil {
			return starttls.Verdict{}, err
		}
		_, e, err := x.next()
		if err != nil {
			return starttls.Verdict{}, err
		}
		return judge(e, strings.TrimSpace(string(x.raw)))
	}
}

// notRequired looks whether the features in clear let a session begin.
func (p xmpp) notRequired() starttls.Test {
	return starttls.Test{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		var h starttls.Hello
		if _, err := p.open(w, &h); err != nil {
			return starttls.Verdict{}, err
		}
		i := slices.IndexFunc(h.Caps, func(c string) bool { return c == "mechanisms" || c == "dialback" || c == "auth" })
		switch {
		case h.Required:
			return sound("the features in clear say that TLS is required")
		case i >= 0:
			return fault("the features in clear do not say that TLS is required, and offer to go on without it: %s", strings.Join(h.Caps, ", "))
		}
		return starttls.Verdict{}, starttls.ErrNoObject
	}}
}

func (p xmpp) twice() starttls.Test {
	return starttls.Test{ID: "starttls-twice", Level: 2, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		return p.inStream("<starttls xmlns='"+nsTLS+"'/>", func(e xmlElement, raw string) (starttls.Verdict, error) {
			return grantedInside(w, e.is(nsTLS, "proceed"), raw, nil)
		})(w)
	}}
}

// sameStream compares the stream's identifier, which must be a new one inside
// TLS (section 5.4.3.3).
func (p xmpp) sameStream() starttls.Test {
	id := ""
	return starttls.Test{ID: "state-kept", Level: 2, Full: true,
		Before: func(w *starttls.Wire) error {
			id = streamIdentifier(w.Transcript())
			return nil
		},
		Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			if _, err := p.open(w, &starttls.Hello{}); err != nil {
				return starttls.Verdict{}, err
			}
			switch inside := streamIdentifier(w.Transcript()); {
			case id == "" || inside == "":
				return starttls.Verdict{}, starttls.ErrNoObject
			case id == inside:
				return fault("the stream inside TLS has the identifier of the one in clear: %s", starttls.Quote([]byte(id)))
			}
			return sound("the stream inside TLS is a new one")
		}}
}

// streamIdentifier is that of the last stream that the server opened.
func streamIdentifier(t starttls.Transcript) (id string) {
	for _, e := range t {
		if e.From != starttls.ServerSide || !strings.Contains(string(e.Data), "stream") {
			continue
		}
		for _, quote := range []string{"'", `"`} {
			if _, rest, ok := strings.Cut(string(e.Data), " id="+quote); ok {
				id, _, _ = strings.Cut(rest, quote)
			}
		}
	}
	return id
}

// compress asks for compression in clear, which once led past the demand for
// TLS (CVE-2014-8760).
func (p xmpp) compress() starttls.Test {
	const ns = "http://jabber.org/protocol/compress"
	return starttls.Test{ID: "compress-clear", Level: 2, Full: true, Clear: true,
		Run: p.inStream("<compress xmlns='"+ns+"'><method>zlib</method></compress>", func(e xmlElement, raw string) (starttls.Verdict, error) {
			if e.is(ns, "compressed") {
				return fault("compression in clear is answered by %s", raw)
			}
			return sound("compression in clear is refused: %s", raw)
		})}
}

// signIn signs in as nobody in clear.
func (p xmpp) signIn() starttls.Test {
	say := fmt.Sprintf("<auth xmlns='%s' mechanism='PLAIN'>%s</auth>", nsSASL, plainOfNobody())
	return starttls.Test{ID: "auth-cleartext", Level: 3, Clear: true, Run: p.inStream(say, func(e xmlElement, raw string) (starttls.Verdict, error) {
		if e.is(nsSASL, "success") || e.is(nsSASL, "failure") && e.child(nsSASL, "not-authorized") != nil && !wantsTLS(raw) {
			return fault("random credentials in clear are answered by %s", raw)
		}
		return sound("a sign-in in clear is refused: %s", raw)
	})}
}
