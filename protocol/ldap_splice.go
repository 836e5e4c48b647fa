package protocol

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"example.org/starttls"
)

// ldapSplice follows a session message by message.
type ldapSplice struct {
	mu       sync.Mutex
	up, down ldapCut
	refused  map[int][]byte // what the client is told of requests that did not pass, by message number
	roots    map[int]bool   // searches of the rootDSE
	hideAuth bool
}

const (
	ldapLook     = 64 << 10 // bytes of a message that is looked into
	ldapUnderWay = 1000     // of each kind
)

// Splice refuses StartTLS inside TLS (RFC 4511, section 4.14.2), and takes it
// off the rootDSE's list of extensions. After a bind that can put a layer of its
// own on the session nothing more is looked at.
func (p ldap) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	f := &ldapSplice{refused: map[int][]byte{}, roots: map[int]bool{}, hideAuth: s.HideAuth}
	f.up.message, f.down.message, f.up.all = f.asks, f.answers, s.HideAuth
	locked := func(c *ldapCut) starttls.Filter {
		return func(b []byte) ([]byte, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return c.filter(b)
		}
	}
	return locked(&f.up), locked(&f.down), nil
}

// ldapCut cuts what passes into messages. Long ones are passed on unread, or end
// the session where each must be known.
type ldapCut struct {
	message func(m ldapPDU) ([]byte, error)
	all     bool // each must be known
	held    []byte
	out     []byte
	skip    int // bytes to be passed on unread; -1: all that comes
}

func (c *ldapCut) filter(b []byte) ([]byte, error) {
	if len(c.held) == 0 && (c.skip < 0 || c.skip >= len(b)) {
		if c.skip > 0 {
			c.skip -= len(b)
		}
		return b, nil
	}
	c.out = nil
	c.held = append(c.held, b...)
	for len(c.held) > 0 {
		if c.skip != 0 {
			n := min(c.skip, len(c.held))
			if c.skip < 0 {
				n = len(c.held)
			}
			c.out, c.held = append(c.out, c.held[:n]...), c.held[n:]
			c.skip = max(c.skip-n, min(c.skip, 0))
			continue
		}
		_, header, length, ok, err := berHeader(c.held)
		if err != nil || c.held[0] != ldapMessage {
			return nil, &starttls.ReplyError{Expected: "an LDAP message", Reply: []byte("(not shown)")}
		}
		if !ok {
			break
		}
		if header+length > ldapLook && c.all {
			return nil, &starttls.LimitError{What: "bytes of an LDAP message in clear", Limit: ldapLook}
		}
		if header+length > ldapLook {
			c.skip = header + length
			continue
		}
		if len(c.held) < header+length {
			break
		}
		raw := c.held[:header+length]
		out, err := c.message(ldapParse(raw))
		if err != nil {
			return nil, err
		}
		c.out, c.held = append(c.out, out...), c.held[len(raw):]
	}
	if len(c.held) == 0 {
		c.held = nil
	}
	return c.out, nil
}

// ldapParse takes a message apart; of one that is none all but raw is zero.
func ldapParse(raw []byte) ldapPDU {
	m := ldapPDU{raw: raw}
	e, _, err := berNext(raw)
	if err != nil {
		return m
	}
	parts, err := berAll(e.content)
	if err != nil || len(parts) < 2 || parts[0].tag != ldapInteger {
		return m
	}
	if m.id, err = parts[0].int(); err == nil {
		m.op = parts[1]
	}
	return m
}

func (f *ldapSplice) asks(m ldapPDU) ([]byte, error) {
	if len(f.refused) > ldapUnderWay || len(f.roots) > ldapUnderWay {
		return nil, &starttls.LimitError{What: "requests under way", Limit: ldapUnderWay}
	}
	switch m.op.tag {
	case 0:
		if f.hideAuth {
			return nil, &starttls.ReplyError{Expected: "an LDAP message", Reply: []byte("(not shown)")}
		}
	case ldapExtended:
		if oid, _ := ldapExtension(m.op); oid == startTLSOID {
			return f.refuse(m.id, ldapReply(m.id, ldapExtendedResponse, ldapOperationsError, "TLS is established already")), nil
		}
	case ldapSearch:
		if isRootDSE(m.op) {
			f.roots[m.id] = true
		}
	case ldapBind:
		if f.hideAuth && ldapSecret(m.op) {
			return f.refuse(m.id, ldapReply(m.id, ldapBindResponse, ldapConfidentiality, "sign-in is for TLS: StartTLS first")), nil
		}
		if ldapLayered(m.op) {
			f.up.skip, f.down.skip = -1, -1
		}
	}
	return m.raw, nil
}

// refuse has the request answered by reply. In its place goes an extension that
// nobody has.
func (f *ldapSplice) refuse(id int, reply []byte) []byte {
	f.refused[id] = reply
	return ldapRequest(id, ber(ldapExtended, ber(0x80, []byte(startTLSOID+".0"))))
}

// ldapSecret reports whether a bind may carry a secret: all do but those without a
// password (RFC 4513, section 5.1.1 and 5.1.2) and two of SASL's mechanisms.
func ldapSecret(op berElement) bool {
	parts, err := berAll(op.content)
	if err != nil || len(parts) < 3 {
		return true
	}
	switch parts[2].tag {
	case 0x80:
		return len(parts[2].content) > 0
	case 0xa3:
		return !slices.Contains([]string{"EXTERNAL", "ANONYMOUS"}, ldapMechanism(parts[2]))
	}
	return true
}

// ldapMechanism is the name of SASL's mechanism; "" if there is none.
func ldapMechanism(choice berElement) string {
	credentials, err := berAll(choice.content)
	if err != nil || len(credentials) == 0 {
		return ""
	}
	return strings.ToUpper(string(credentials[0].content))
}

// ldapLayered reports whether a bind may end in a layer of SASL's (RFC 4513,
// section 5.2.1.7): all mechanisms may but those that are known not to.
func ldapLayered(op berElement) bool {
	parts, err := berAll(op.content)
	if err != nil || len(parts) < 3 || parts[2].tag != 0xa3 {
		return false
	}
	name := ldapMechanism(parts[2])
	return name != "" && !slices.Contains([]string{"EXTERNAL", "PLAIN", "LOGIN", "CRAM-MD5", "ANONYMOUS", "OAUTHBEARER"}, name) && !strings.HasPrefix(name, "SCRAM-")
}

func (f *ldapSplice) answers(m ldapPDU) ([]byte, error) {
	switch {
	case m.op.tag == ldapExtendedResponse && f.refused[m.id] != nil:
		reply := f.refused[m.id]
		delete(f.refused, m.id)
		return reply, nil
	case m.op.tag == ldapSearchDone:
		delete(f.roots, m.id)
	case m.op.tag == ldapSearchEntry && f.roots[m.id]:
		return ldapWithoutStartTLS(m), nil
	}
	return m.raw, nil
}

// ldapWithoutStartTLS is a rootDSE whose list of extensions does not have it.
func ldapWithoutStartTLS(m ldapPDU) []byte {
	parts, err := berAll(m.op.content)
	if err != nil || len(parts) != 2 || !bytes.Contains(m.raw, []byte(startTLSOID)) {
		return m.raw
	}
	attributes, err := berAll(parts[1].content)
	if err != nil {
		return m.raw
	}
	var kept [][]byte
	for _, a := range attributes {
		pair, err := berAll(a.content)
		if err != nil || len(pair) != 2 || !strings.EqualFold(string(pair[0].content), "supportedExtension") {
			kept = append(kept, ber(a.tag, a.content))
			continue
		}
		var values [][]byte
		all, err := berAll(pair[1].content)
		if err != nil {
			return m.raw
		}
		for _, v := range all {
			if string(v.content) != startTLSOID {
				values = append(values, ber(v.tag, v.content))
			}
		}
		kept = append(kept, ber(a.tag, ber(pair[0].tag, pair[0].content), ber(pair[1].tag, values...)))
	}
	return ldapRequest(m.id, ber(ldapSearchEntry, ber(parts[0].tag, parts[0].content), ber(parts[1].tag, kept...)))
}

// Unavailable is the Notice of Disconnection (RFC 4511, section 4.4.1).
func (ldap) Unavailable() []byte {
	return ldapReply(0, ldapExtendedResponse, ldapUnavailable, "the service is not available now", ber(0x8a, []byte(noticeOID)))
}
