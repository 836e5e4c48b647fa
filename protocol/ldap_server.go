package protocol

import (
	"fmt"

	"example.org/starttls"
)

func (p ldap) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	w.Redact(func(msg []byte) []byte { return fmt.Appendf(nil, "[%d bytes of LDAP]", len(msg)) })
	for {
		if offer.Mode == starttls.Hide || offer.Mode == starttls.Optional {
			session, err := ldapPeekSession(w)
			if err != nil || session {
				return out, err
			}
		}
		m, err := readLDAP(w)
		if err != nil {
			return out, err
		}
		done, err := p.clear(w, h, offer, m)
		if done || err != nil {
			out.TLS = done
			return out, err
		}
	}
}

// ldapPeekSession reports whether the next message is neither a StartTLS nor a
// look at the rootDSE.
func ldapPeekSession(w *starttls.Wire) (bool, error) {
	n, err := peekBER(w)
	if err != nil {
		return false, err
	}
	if n > 1024 { // none of the two is as long
		return true, nil
	}
	raw, err := w.Peek(n)
	if err != nil {
		return false, err
	}
	e, _, err := berNext(raw)
	if err != nil {
		return false, err
	}
	parts, err := berAll(e.content)
	if err != nil || len(parts) < 2 {
		return false, nil // readLDAP says what is wrong
	}
	op := parts[1]
	return op.tag != ldapExtended && !isRootDSE(op), nil
}

// isRootDSE recognises a search of the empty name, base object only.
func isRootDSE(op berElement) bool {
	parts, err := berAll(op.content)
	return err == nil && op.tag == ldapSearch && len(parts) >= 2 && len(parts[0].content) == 0 &&
		len(parts[1].content) == 1 && parts[1].content[0] == 0
}

// clear answers one message before TLS. It reports whether TLS is next.
func (ldap) clear(w *starttls.Wire, h starttls.Hello, offer starttls.Offer, m ldapPDU) (bool, error) {
	refuse := func(tag byte, code int, text string) (bool, error) {
		if err := ldapAnswer(w, m.id, tag, code, text); err != nil {
			return false, err
		}
		return false, w.Refused()
	}
	const clearText = "StartTLS first: nothing is accepted in clear"
	switch m.op.tag {
	case ldapExtended:
		oid, value := ldapExtension(m.op)
		switch {
		case oid != startTLSOID || offer.Mode == starttls.Hide:
			return refuse(ldapExtendedResponse, ldapProtocolError, "unknown extension")
		case value:
			return refuse(ldapExtendedResponse, ldapProtocolError, "StartTLS takes no value")
		case offer.Mode == starttls.Decline:
			return refuse(ldapExtendedResponse, ldapUnavailable, "TLS is not available now")
		}
		reply := ldapReply(m.id, ldapExtendedResponse, ldapSuccess, "")
		if len(offer.Reply) > 0 {
			reply = offer.Reply
		}
		return true, w.GoAhead(reply)
	case ldapUnbind:
		return false, starttls.ErrNotUpgraded
	case ldapAbandon:
		return false, w.Refused()
	case ldapSearch:
		if isRootDSE(m.op) {
			return false, ldapSendRootDSE(w, m.id, h, offers(offer), false)
		}
		return refuse(ldapSearchDone, ldapConfidentiality, clearText)
	}
	return refuse(ldapResponseTag(m.op.tag), ldapConfidentiality, clearText)
}

// ldapExtension reads an ExtendedRequest.
func ldapExtension(op berElement) (oid string, value bool) {
	parts, err := berAll(op.content)
	if err != nil || len(parts) == 0 || parts[0].tag != 0x80 {
		return "", false
	}
	return string(parts[0].content), len(parts) > 1
}

// ldapResponseTag is the answer to a request's tag: one more, in every
// operation that has an answer (RFC 4511, section 4.2 and following).
func ldapResponseTag(request byte) byte { return (request | 0x20) + 1 }

func ldapReply(id int, tag byte, code int, text string) []byte {
	return ldapRequest(id, ber(tag, berInt(ldapEnumerated, code), ber(ldapOctets), ber(ldapOctets, []byte(text))))
}

func ldapAnswer(w *starttls.Wire, id int, tag byte, code int, text string) error {
	_, err := w.Write(ldapReply(id, tag, code, text))
	return err
}

func ldapSendRootDSE(w *starttls.Wire, id int, h starttls.Hello, startTLS, signIn bool) error {
	attribute := func(name string, values ...string) []byte {
		var set [][]byte
		for _, v := range values {
			set = append(set, ber(ldapOctets, []byte(v)))
		}
		return ber(ldapMessage, ber(ldapOctets, []byte(name)), ber(0x31, set...))
	}
	attributes := [][]byte{attribute("supportedLDAPVersion", "3"), attribute("vendorName", or(h.Software, "starttls"))}
	if startTLS {
		attributes = append(attributes, attribute("supportedExtension", startTLSOID))
	}
	if signIn {
		attributes = append(attributes, attribute("supportedSASLMechanisms", "EXTERNAL"))
	}
	entry := ldapRequest(id, ber(ldapSearchEntry, ber(ldapOctets), ber(ldapMessage, attributes...)))
	_, err := w.Write(append(entry, ldapReply(id, ldapSearchDone, ldapSuccess, "")...))
	return err
}

// Serve speaks a minimal session over an empty directory.
func (ldap) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		m, err := readLDAP(w)
		if err != nil {
			return err
		}
		switch m.op.tag {
		case ldapUnbind:
			return nil
		case ldapAbandon:
		case ldapBind:
			err = ldapServeBind(w, m, sink)
		case ldapSearch:
			if isRootDSE(m.op) {
				err = ldapSendRootDSE(w, m.id, h, false, true)
			} else {
				err = ldapAnswer(w, m.id, ldapSearchDone, ldapSuccess, "")
			}
		case ldapExtended:
			code, text := ldapProtocolError, "unknown extension"
			if oid, _ := ldapExtension(m.op); oid == startTLSOID {
				code, text = ldapOperationsError, "TLS is not to be had now" // RFC 4511, section 4.14.1
			}
			err = ldapAnswer(w, m.id, ldapExtendedResponse, code, text)
		default:
			if err = w.Refused(); err == nil {
				err = ldapAnswer(w, m.id, ldapResponseTag(m.op.tag), ldapUnwilling, "not here")
			}
		}
		if err != nil {
			return err
		}
	}
}

// ldapServeBind takes a simple bind (RFC 4511, section 4.2).
func ldapServeBind(w *starttls.Wire, m ldapPDU, sink starttls.Sink) error {
	parts, err := berAll(m.op.content)
	if err != nil || len(parts) < 3 {
		return &starttls.ReplyError{Expected: "a bind", Reply: []byte("(not shown)")}
	}
	if parts[2].tag != 0x80 {
		return ldapAnswer(w, m.id, ldapBindResponse, ldapAuthNotSupported, "simple binds only")
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "simple", User: string(parts[1].content), Secret: parts[2].content})
	return ldapAnswer(w, m.id, ldapBindResponse, ldapSuccess, "")
}
