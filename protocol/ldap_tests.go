package protocol

import (
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
)

// ldapAsk says a request and reads up to the result of it.
func ldapAsk(w *starttls.Wire, id int, op []byte) (code int, text string, err error) {
	if _, err := w.Write(ldapRequest(id, op)); err != nil {
		return 0, "", err
	}
	for {
		m, err := readLDAP(w)
		switch {
		case err != nil:
			return 0, "", err
		case m.id == id && m.op.tag == ldapSearchEntry:
			continue
		case m.id != id && m.id != 0:
			return 0, "", &starttls.ReplyError{Expected: "the answer to the request", Reply: m.raw}
		}
		code, text, err := ldapResult(m.op)
		if err != nil {
			return 0, "", &starttls.ReplyError{Expected: "a result", Reply: m.raw}
		}
		return code, fmt.Sprintf("resultCode %d %s", code, text), nil
	}
}

// Tests are those of RFC 4511, section 4.14, and RFC 4513, sections 3.1 and 6.
func (p ldap) Tests() []starttls.Test {
	return []starttls.Test{ldapNotRequired(), askAgain(p), ldapValue(), ldapBindInClear(), p.mechanismsInClear(), ldapOutstanding()}
}

// ldapNotRequired looks in clear for an entry that hardly exists, and learns
// whether the directory is open without TLS.
func ldapNotRequired() starttls.Test {
	return starttls.Test{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		code, text, err := ldapAsk(w, 1, ldapReadEntry("dc="+nobody()+",dc=invalid", "1.1"))
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case code == ldapSuccess || code == ldapNoSuchObject:
			return fault("a search in clear is answered by %s", text)
		case code == ldapConfidentiality:
			return sound("a search in clear is refused: %s", text)
		}
		return untold(text)
	}}
}

// ldapValue asks for TLS with a value, which is to be absent (section 4.14.1).
func ldapValue() starttls.Test {
	return starttls.Test{ID: "starttls-args", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		code, text, err := ldapAsk(w, 1, ber(ldapExtended, ber(0x80, []byte(startTLSOID)), ber(0x81, []byte("x"))))
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case code == ldapSuccess:
			return fault("StartTLS with a value is answered by %s", text)
		}
		return sound("StartTLS with a value is refused: %s", text)
	}}
}

// ldapBindInClear binds as nobody in clear.
func ldapBindInClear() starttls.Test {
	return starttls.Test{ID: "auth-cleartext", Level: 3, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		bind := ber(ldapBind, berInt(ldapInteger, 3), ber(ldapOctets, []byte("cn="+nobody()+",dc=invalid")), ber(0x80, []byte(nobody())))
		code, text, err := ldapAsk(w, 1, bind)
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case code == ldapSuccess || code == ldapBadCredentials:
			return fault("random credentials in clear are answered by %s", text)
		}
		return sound("a simple bind in clear is refused: %s", text)
	}}
}

// mechanismsInClear looks in clear for sign-ins that send the password itself.
func (p ldap) mechanismsInClear() starttls.Test {
	return starttls.Test{ID: "auth-before-tls", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		h, err := p.Probe(w)
		i := slices.IndexFunc(h.Auth, func(m string) bool { return m == "PLAIN" || m == "LOGIN" })
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case i >= 0:
			return fault("supportedSASLMechanisms in clear: %s", strings.Join(h.Auth, " "))
		}
		return sound("no mechanism that sends the password is listed in clear")
	}}
}

// ldapOutstanding asks for TLS while a search is under way, whose answer may
// then come in clear or inside TLS. It must be refused (section 4.14.1), or come
// behind the answer to the search.
func ldapOutstanding() starttls.Test {
	return starttls.Test{ID: "outstanding", Level: 2, Full: true,
		Before: func(w *starttls.Wire) error {
			_, err := w.Write(ldapRequest(2, ldapReadRootDSE("+")))
			return err
		},
		Run: func(w *starttls.Wire) (starttls.Verdict, error) {
			return fault("StartTLS is granted while a search is not answered")
		}}
}
