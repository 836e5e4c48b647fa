package protocol

import (
	"bytes"

	"example.org/starttls"
)

// Serve speaks a minimal session over an empty directory.
func (ldap) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	mechanisms := h.Auth
	if mechanisms == nil {
		mechanisms = []string{"PLAIN", "EXTERNAL"}
	}
	who := "" // the authorization identity (RFC 4513, section 5.2.1.8); "" is anonymous
	for {
		m, err := readLDAPRequest(w)
		if err != nil {
			return err
		}
		switch m.op.tag {
		case ldapUnbind:
			return nil
		case ldapAbandon:
		case ldapBind:
			who, err = ldapServeBind(w, m, sink)
		case ldapSearch:
			if isRootDSE(m.op) {
				err = ldapSendRootDSE(w, m.id, h, []string{whoAmIOID}, mechanisms)
				break
			}
			sink.Tell(starttls.Leak{What: "content"})
			err = ldapAnswer(w, m.id, ldapSearchDone, ldapSuccess, "")
		case ldapExtended:
			err = ldapServeExtended(w, m, who)
		default:
			if err = w.Refused(); err == nil {
				err = ldapAnswer(w, m.id, ldapResponseTag(m.op.tag), ldapUnwilling, "this directory takes no changes")
			}
		}
		if err != nil {
			return err
		}
	}
}

func ldapServeExtended(w *starttls.Wire, m ldapPDU, who string) error {
	oid, _ := ldapExtension(m.op)
	switch {
	case oid == whoAmIOID:
		_, err := w.Write(ldapReply(m.id, ldapExtendedResponse, ldapSuccess, "", ber(0x8b, []byte(who))))
		return err
	case oid == startTLSOID && w.TLS(): // RFC 4511, section 4.14.2
		return ldapAnswer(w, m.id, ldapExtendedResponse, ldapOperationsError, "TLS is established already")
	}
	return ldapAnswer(w, m.id, ldapExtendedResponse, ldapProtocolError, "unknown extension")
}

// ldapServeBind takes any simple bind, and SASL's PLAIN and EXTERNAL (RFC 4511,
// section 4.2). It returns whom the session belongs to from then on.
func ldapServeBind(w *starttls.Wire, m ldapPDU, sink starttls.Sink) (who string, err error) {
	answer := func(code int, text string) (string, error) {
		return who, ldapAnswer(w, m.id, ldapBindResponse, code, text)
	}
	parts, err := berAll(m.op.content)
	if err != nil || len(parts) < 3 {
		return answer(ldapProtocolError, "malformed bind")
	}
	switch name, method := string(parts[1].content), parts[2]; method.tag {
	case 0x80: // simple
		if name != "" {
			who = "dn:" + name
		}
		sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "simple", User: name, Secret: bytes.Clone(method.content)})
		return answer(ldapSuccess, "")
	case 0xa3: // SASL
		leak, ok := ldapSASL(method)
		if !ok {
			return answer(ldapAuthNotSupported, "PLAIN and EXTERNAL only")
		}
		if leak.User == "" && leak.Mechanism == "PLAIN" {
			return answer(ldapBadCredentials, "malformed PLAIN message")
		}
		who = "u:" + leak.User
		sink.Tell(leak)
		return answer(ldapSuccess, "")
	}
	return answer(ldapAuthNotSupported, "neither simple nor SASL")
}

// ldapSASL reads SaslCredentials. A PLAIN message that is none has no user.
func ldapSASL(method berElement) (l starttls.Leak, ok bool) {
	parts, err := berAll(method.content)
	if err != nil || len(parts) == 0 {
		return l, false
	}
	l = starttls.Leak{What: "sign-in", Mechanism: string(parts[0].content)}
	var message []byte
	if len(parts) > 1 {
		message = parts[1].content
	}
	switch l.Mechanism {
	case "EXTERNAL":
		l.User = string(message)
		return l, true
	case "PLAIN": // authorization, user, password (RFC 4616)
		if fields := bytes.Split(message, []byte{0}); len(fields) == 3 {
			l.User, l.Secret = string(fields[1]), bytes.Clone(fields[2])
		}
		return l, true
	}
	return l, false
}
