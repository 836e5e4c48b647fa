package protocol

import (
	"fmt"
	"strings"

	"example.org/starttls"
)

// LDAP is directory access, RFC 4511 section 4.14. The request for TLS is the
// first message: nothing is asked in clear. That the rootDSE lists StartTLS
// inside TLS is no fault, and so HelloInTLS is false: it lists what the server
// knows (RFC 4512, section 5.1).
var LDAP = register(ldap{})

type ldap struct{}

func (ldap) Info() starttls.Info {
	return starttls.Info{
		Name: "ldap", Port: 389, ImplicitTLS: 636, SRV: "ldap", SRVImplicit: "ldaps", Title: "LDAP, directories", Reference: "RFC 4511", HidesAuth: true, Binary: true, Unadvertised: true, Unordered: true, ClearAfterTLS: true,
	}
}

const (
	startTLSOID = "1.3.6.1.4.1.1466.20037"
	whoAmIOID   = "1.3.6.1.4.1.4203.1.11.3" // RFC 4532
	noticeOID   = "1.3.6.1.4.1.1466.20036"  // Notice of Disconnection
)

// Tags of the messages that are read or written here (RFC 4511, appendix B).
const (
	ldapMessage          = 0x30
	ldapBind             = 0x60
	ldapBindResponse     = 0x61
	ldapUnbind           = 0x42
	ldapSearch           = 0x63
	ldapSearchEntry      = 0x64
	ldapSearchDone       = 0x65
	ldapAbandon          = 0x50
	ldapExtended         = 0x77
	ldapExtendedResponse = 0x78
	ldapEnumerated       = 0x0a
	ldapInteger          = 0x02
	ldapOctets           = 0x04
)

// Result codes (RFC 4511, section 4.1.9).
const (
	ldapSuccess          = 0
	ldapOperationsError  = 1
	ldapProtocolError    = 2
	ldapConfidentiality  = 13
	ldapNoSuchObject     = 32
	ldapBusy             = 51
	ldapUnavailable      = 52
	ldapAuthNotSupported = 7
	ldapBadCredentials   = 49
	ldapUnwilling        = 53
)

// ldapPDU is a message taken apart.
type ldapPDU struct {
	id  int
	op  berElement
	raw []byte
}

func readLDAP(w *starttls.Wire) (m ldapPDU, err error) {
	first, err := w.Peek(1)
	if err != nil {
		return m, err
	}
	if first[0] != ldapMessage { // another protocol's greeting, whose second byte is no length to wait for
		return m, &starttls.ReplyError{Expected: "an LDAP message", Reply: w.Ahead()}
	}
	e, raw, err := readBER(w)
	if err != nil {
		return m, err
	}
	m.raw = raw
	bad := &starttls.ReplyError{Expected: "an LDAP message", Reply: raw}
	parts, err := berAll(e.content)
	if err != nil || len(parts) < 2 || parts[0].tag != ldapInteger {
		return m, bad
	}
	if m.id, err = parts[0].int(); err != nil || m.id < 0 {
		return m, bad
	}
	m.op = parts[1]
	return m, nil
}

func ldapRequest(id int, op []byte) []byte { return ber(ldapMessage, berInt(ldapInteger, id), op) }

func (ldap) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := w.Ask(ldapRequest(1, ber(ldapExtended, ber(0x80, []byte(startTLSOID))))); err != nil {
		return h, err
	}
	m, err := readLDAP(w)
	if err != nil {
		return h, err
	}
	bad := &starttls.ReplyError{Expected: "the answer to StartTLS", Reply: m.raw}
	if m.op.tag != ldapExtendedResponse || m.id != 1 && m.id != 0 {
		return h, bad
	}
	code, text, err := ldapResult(m.op)
	if err != nil {
		return h, bad
	}
	if code != ldapSuccess || m.id == 0 {
		return h, ldapRefused(m, code, text)
	}
	h.Offered = true
	return h, nil
}

// ldapRefused is a result that is no success, or message 0: the Notice of
// Disconnection (RFC 4511, section 4.4.1). A referral (10) is one too: said in
// clear, it would send the client wherever an attacker likes.
func ldapRefused(m ldapPDU, code int, text string) error {
	return &starttls.RefusedError{Reply: m.raw, Text: strings.TrimSpace(fmt.Sprintf("resultCode %d %s", code, text)),
		Temporary: code == ldapBusy || code == ldapUnavailable}
}

// ldapResult reads an LDAPResult: code, matched DN, message. What may follow,
// referrals and Active Directory's response name, is of no interest.
func ldapResult(op berElement) (code int, text string, err error) {
	parts, err := berAll(op.content)
	if err != nil || len(parts) < 3 || parts[0].tag != ldapEnumerated {
		return 0, "", errBER
	}
	code, err = parts[0].int()
	return code, string(parts[2].content), err
}

// Probe reads the rootDSE (RFC 4512, section 5.1).
func (ldap) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	search := ldapReadRootDSE("supportedExtension", "supportedSASLMechanisms", "supportedLDAPVersion", "vendorName", "vendorVersion")
	if _, err := w.Write(ldapRequest(2, search)); err != nil {
		return h, err
	}
	for {
		m, err := readLDAP(w)
		if err != nil {
			return h, err
		}
		switch {
		case m.id == 2 && m.op.tag == ldapSearchEntry:
			if err := ldapRootDSE(m.op, &h); err != nil {
				return h, &starttls.ReplyError{Expected: "the rootDSE", Reply: m.raw}
			}
		case m.id == 2 && m.op.tag == ldapSearchDone:
			return h, nil // whatever the code: the session is alive
		case m.id == 0 && m.op.tag == ldapExtendedResponse:
			code, text, err := ldapResult(m.op)
			return h, cmpErr(err, ldapRefused(m, code, text))
		default:
			return h, &starttls.ReplyError{Expected: "the rootDSE", Reply: m.raw}
		}
	}
}

// ldapReadRootDSE is the request for some of its attributes.
func ldapReadRootDSE(names ...string) []byte { return ldapReadEntry("", names...) }

// ldapReadEntry is the request for some attributes of one entry.
func ldapReadEntry(dn string, names ...string) []byte {
	var attributes [][]byte
	for _, n := range names {
		attributes = append(attributes, ber(ldapOctets, []byte(n)))
	}
	return ber(ldapSearch, ber(ldapOctets, []byte(dn)), berInt(ldapEnumerated, 0), berInt(ldapEnumerated, 0), berInt(ldapInteger, 1), berInt(ldapInteger, 10),
		ber(0x01, []byte{0}), ber(0x87, []byte("objectClass")), ber(ldapMessage, attributes...))
}

func ldapRootDSE(op berElement, h *starttls.Hello) error {
	parts, err := berAll(op.content)
	if err != nil || len(parts) != 2 {
		return errBER
	}
	attributes, err := berAll(parts[1].content)
	if err != nil {
		return err
	}
	for _, a := range attributes {
		pair, err := berAll(a.content)
		if err != nil || len(pair) != 2 {
			return errBER
		}
		values, err := berAll(pair[1].content)
		if err != nil {
			return err
		}
		for _, v := range values {
			ldapAttribute(h, string(pair[0].content), string(v.content))
		}
	}
	return nil
}

func ldapAttribute(h *starttls.Hello, name, value string) {
	h.Caps = append(h.Caps, name+": "+value)
	switch strings.ToLower(name) {
	case "supportedextension":
		h.Offered = h.Offered || value == startTLSOID
	case "supportedsaslmechanisms":
		h.Auth = appendNew(h.Auth, strings.ToUpper(value))
	case "vendorname", "vendorversion":
		h.Software = strings.TrimSpace(h.Software + " " + value)
	}
}

// Injection: a reply carries its request's number, here one of four bytes.
func (ldap) Injection(_, marker string) starttls.Injection {
	id := 1<<30 | int(markerNumber(marker)) // and so at most 2^31-1 (RFC 4511, section 4.1.1.1)
	return starttls.Injection{
		Probe:    ldapRequest(id, ldapReadRootDSE("supportedLDAPVersion")),
		Control:  ldapRequest(id+1, ldapReadRootDSE("supportedLDAPVersion")),
		Classify: classifyHolds(string(berInt(ldapInteger, id+1)), string(berInt(ldapInteger, id))),
	}
}
