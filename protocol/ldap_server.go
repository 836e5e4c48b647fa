package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
)

func (p ldap) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	w.Redact(ldapLength)
	for {
		if offer.Mode == starttls.Hide || offer.Mode == starttls.Optional {
			session, err := ldapPeekSession(w)
			if err != nil || session {
				return out, err
			}
		}
		m, err := readLDAPRequest(w)
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

// ldapLength is all that is kept of a client's message: a bind holds a password.
func ldapLength(msg []byte) []byte { return fmt.Appendf(nil, "[%d bytes of LDAP]", len(msg)) }

// ldapRequests are the tags of requests; each answer's is one more (RFC 4511,
// appendix B).
const ldapRequests = "\x60\x42\x63\x66\x68\x4a\x6c\x6e\x50\x77"

// readLDAPRequest reads a client's message. What is none is answered by the
// Notice of Disconnection (RFC 4511, section 4.1.1), and shown in no error: it
// may be a bind gone wrong.
func readLDAPRequest(w *starttls.Wire) (ldapPDU, error) {
	m, err := readLDAP(w)
	if err == nil && (m.id == 0 || strings.IndexByte(ldapRequests, m.op.tag) < 0) {
		err = &starttls.ReplyError{Expected: "an LDAP request", Reply: m.raw}
	}
	var bad *starttls.ReplyError
	if errors.As(err, &bad) {
		bad.Reply = ldapLength(bad.Reply)
		w.Write(ldapReply(0, ldapExtendedResponse, ldapProtocolError, "not an LDAP request", ber(0x8a, []byte(noticeOID))))
	}
	return m, err
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
	oid, _ := ldapExtension(parts[1])
	return oid != startTLSOID && !isRootDSE(parts[1]), nil
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
		case offer.Mode == starttls.Decline && len(offer.Reply) == 0:
			return refuse(ldapExtendedResponse, ldapUnavailable, "TLS is not available now")
		case offer.Mode == starttls.Decline:
			_, err := w.Write(offer.Reply)
			return false, cmpErr(err, w.Refused())
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
			var extensions []string
			if offers(offer) {
				extensions = []string{or(offer.Keyword, startTLSOID)}
			}
			return false, ldapSendRootDSE(w, m.id, h, extensions, nil)
		}
		return refuse(ldapSearchDone, ldapConfidentiality, clearText)
	}
	return refuse(ldapResponseTag(m.op.tag), ldapConfidentiality, clearText)
}

// ldapExtension reads an ExtendedRequest: its name, "" in any other message, and
// whether a value follows it.
func ldapExtension(op berElement) (oid string, value bool) {
	parts, err := berAll(op.content)
	if err != nil || op.tag != ldapExtended || len(parts) == 0 || parts[0].tag != 0x80 {
		return "", false
	}
	return string(parts[0].content), len(parts) > 1
}

// ldapResponseTag is the answer to a request's tag: one more, in every
// operation that has an answer (RFC 4511, section 4.2 and following).
func ldapResponseTag(request byte) byte { return (request | 0x20) + 1 }

// ldapReply builds a result; more is what follows it in an ExtendedResponse.
func ldapReply(id int, tag byte, code int, text string, more ...[]byte) []byte {
	return ldapRequest(id, ber(tag, berInt(ldapEnumerated, code), ber(ldapOctets), ber(ldapOctets, []byte(text)), slices.Concat(more...)))
}

func ldapAnswer(w *starttls.Wire, id int, tag byte, code int, text string) error {
	_, err := w.Write(ldapReply(id, tag, code, text))
	return err
}

func ldapSendRootDSE(w *starttls.Wire, id int, h starttls.Hello, extensions, mechanisms []string) error {
	attribute := func(name string, values ...string) []byte {
		var set [][]byte
		for _, v := range values {
			set = append(set, ber(ldapOctets, []byte(v)))
		}
		return ber(ldapMessage, ber(ldapOctets, []byte(name)), ber(0x31, set...))
	}
	attributes := [][]byte{attribute("supportedLDAPVersion", "3"), attribute("vendorName", or(h.Software, "starttls"))}
	if len(extensions) > 0 {
		attributes = append(attributes, attribute("supportedExtension", extensions...))
	}
	if len(mechanisms) > 0 { // never before TLS (RFC 4513, section 3.1.5)
		attributes = append(attributes, attribute("supportedSASLMechanisms", mechanisms...))
	}
	entry := ldapRequest(id, ber(ldapSearchEntry, ber(ldapOctets), ber(ldapMessage, attributes...)))
	_, err := w.Write(append(entry, ldapReply(id, ldapSearchDone, ldapSuccess, "")...))
	return err
}
