package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
)

// PostgreSQL is its frontend/backend protocol, version 3: SSLRequest, answered
// by one byte. Its implicit form is direct TLS on the same port (version 17 and
// later), where the protocol name "postgresql" must be agreed on (ALPN).
var PostgreSQL = register(postgresql{})

type postgresql struct{}

func (postgresql) Info() starttls.Info {
	return starttls.Info{
		Name: "postgresql", Aliases: []string{"postgres", "pgsql"}, Port: 5432, ImplicitTLS: 5432,
		ALPN: []string{"postgresql"}, ALPNRequired: true, Binary: true, Unadvertised: true,
		Title: "PostgreSQL", Reference: "PostgreSQL protocol 3.0, SSL session encryption",
	}
}

// The codes that stand in the place of a version in a first message.
const (
	pgSSLRequest    = 80877103
	pgGSSENCRequest = 80877104
	pgCancel        = 80877102
	pgVersion3      = 3 << 16
)

func pgFirst(code uint32, rest []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	return append(binary.BigEndian.AppendUint32(b, code), rest...)
}

// pgPacket builds a message with a type.
func pgPacket(kind byte, parts ...string) []byte {
	body := strings.Join(parts, "")
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body))), body...)
}

// readPG reads a message with a type.
func readPG(w *starttls.Wire) (kind byte, body []byte, err error) {
	head, err := w.ReadN(5)
	if err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n < 4 || n > 1<<20 {
		return 0, nil, &starttls.ReplyError{Expected: "a PostgreSQL message", Reply: head}
	}
	body, err = w.ReadN(int(n) - 4)
	return head[0], body, err
}

func (postgresql) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := w.Ask(pgFirst(pgSSLRequest, nil)); err != nil {
		return h, err
	}
	answer, err := w.Peek(1)
	if err != nil {
		return h, err
	}
	switch answer[0] {
	case 'S':
		h.Offered = true
		_, err := w.ReadN(1)
		return h, err
	case 'N':
		answer, err := w.ReadN(1)
		if err != nil {
			return h, err
		}
		return h, &starttls.RefusedError{Reply: answer}
	case 'E': // before TLS, and so nobody's word (CVE-2024-10977)
		return h, pgRefused(w)
	}
	answer, err = w.ReadN(1)
	if err != nil {
		return h, err
	}
	return h, &starttls.ReplyError{Expected: "S or N", Reply: answer}
}

// pgRefused reads the error that a server sends in the place of an answer: a
// message, or, from one that can not so much as start a process for us, the
// bare text of protocol 2, which ends with a NUL or with the connection.
func pgRefused(w *starttls.Wire) error {
	head, err := w.Peek(5)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(head[1:]) <= pgMostError {
		_, body, err := readPG(w)
		if err != nil {
			return err
		}
		text := pgErrorText(body)
		return &starttls.RefusedError{Reply: pgPacket('E', string(body)), Text: text, Temporary: pgTemporary(body)}
	}
	for n := 6; n <= 1024; n++ {
		b, err := w.Peek(n)
		if err != nil || b[n-1] == 0 {
			break
		}
	}
	text, _, _ := bytes.Cut(w.Ahead(), []byte{0})
	return &starttls.RefusedError{Reply: text, Text: string(text[1:]), Temporary: true}
}

// pgMostError is the longest error that is taken for one; libpq draws the line
// at the same place.
const pgMostError = 30000

// pgTemporary reports whether an ErrorResponse's code speaks of a lack of
// resources, or of a server that is starting or going down (classes 53, 57P).
func pgTemporary(body []byte) bool {
	return bytes.Contains(body, []byte("\x00C53")) || bytes.Contains(body, []byte("\x00C57P"))
}

// pgErrorText picks severity, code and message out of an ErrorResponse.
func pgErrorText(body []byte) string {
	var out []string
	for f := range bytes.SplitSeq(body, []byte{0}) {
		if len(f) > 1 && strings.IndexByte("SCM", f[0]) >= 0 {
			out = append(out, string(f[1:]))
		}
	}
	return strings.Join(out, " ")
}

// Probe starts a session as a user that does not exist and reads how the server
// would have it sign in. The session is used up by it.
func (postgresql) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	if _, err := w.Write(pgFirst(pgVersion3, []byte("user\x00starttls-probe\x00database\x00postgres\x00\x00"))); err != nil {
		return h, err
	}
	kind, body, err := readPG(w)
	if err == nil && kind == 'v' { // NegotiateProtocolVersion
		kind, body, err = readPG(w)
	}
	if err != nil {
		return h, err
	}
	switch kind {
	case 'E':
		h.Caps = []string{"error: " + pgErrorText(body)}
	case 'R':
		h.Auth = pgMethods(body)
	default:
		return h, &starttls.ReplyError{Expected: "a question for the password", Reply: append([]byte{kind}, body...)}
	}
	return h, nil
}

// pgMethods names what an authentication request asks for.
func pgMethods(body []byte) []string {
	if len(body) < 4 {
		return nil
	}
	switch code := binary.BigEndian.Uint32(body); code {
	case 0:
		return []string{"TRUST"}
	case 3:
		return []string{"PASSWORD"}
	case 5:
		return []string{"MD5"}
	case 7:
		return []string{"GSS"}
	case 9:
		return []string{"SSPI"}
	case 10:
		return strings.FieldsFunc(string(body[4:]), func(r rune) bool { return r == 0 })
	default:
		return []string{fmt.Sprintf("METHOD %d", code)}
	}
}

// Server answers SSLRequest and GSSENCRequest, and nothing else before TLS. What
// follows an SSLRequest stays unread (CVE-2021-23214).
func (p postgresql) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	for {
		head, err := w.Peek(8)
		if err != nil {
			return out, err
		}
		n, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		switch session := code>>16 == 3 || code == pgCancel; {
		case session && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional):
			return out, nil
		case session:
			return out, pgRefuseSession(w)
		case n != 8 || code != pgSSLRequest && code != pgGSSENCRequest:
			bad, _ := w.ReadN(8)
			return out, &starttls.ReplyError{Expected: "an SSLRequest", Reply: bad}
		}
		if _, err := w.ReadN(8); err != nil {
			return out, err
		}
		if code == pgSSLRequest && (offer.Mode == starttls.Grant || offer.Mode == starttls.Optional) {
			reply := []byte("S")
			if len(offer.Reply) > 0 {
				reply = offer.Reply
			}
			out.TLS = true
			return out, w.GoAhead(reply)
		}
		reply := []byte("N")
		if code == pgSSLRequest && offer.Mode == starttls.Decline {
			reply = []byte(override(offer, "N"))
		}
		if _, err := w.Write(reply); err != nil {
			return out, err
		}
		if err := w.Refused(); err != nil {
			return out, err
		}
	}
}

// readPGFirst reads a message without a type: what stands in the place of the
// version, and the rest. A startup message has a user in it, so errors show
// its head alone.
func readPGFirst(w *starttls.Wire) (code uint32, rest []byte, err error) {
	head, err := w.ReadN(8)
	if err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 8 || n > 10000 { // PostgreSQL's own bound
		return 0, nil, &starttls.ReplyError{Expected: "a startup message", Reply: head}
	}
	rest, err = w.ReadN(int(n) - 8)
	return binary.BigEndian.Uint32(head[4:]), rest, err
}

// pgRefuseSession answers a session begun in clear. The message is read whole:
// a connection closed with bytes unread is reset, and the answer lost. A
// request to cancel is never answered, whatever becomes of it.
func pgRefuseSession(w *starttls.Wire) error {
	code, _, err := readPGFirst(w)
	if err == nil && code != pgCancel {
		_, err = w.Write(pgError("FATAL", "28000", "no encryption: TLS is required"))
	}
	return cmpErr(err, starttls.ErrNotUpgraded)
}

// cmpErr is the first of the errors that is not nil.
func cmpErr(errs ...error) error {
	i := slices.IndexFunc(errs, func(e error) bool { return e != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

func pgError(severity, code, message string) []byte {
	return pgPacket('E', "S", severity, "\x00V", severity, "\x00C", code, "\x00M", message, "\x00\x00")
}

// Injection begins sessions with an option of the protocol that does not exist:
// it is named by NegotiateProtocolVersion before anybody signs in, and the user
// by most refusals.
func (postgresql) Injection(_, marker string) starttls.Injection {
	startup := func(name string) []byte {
		return pgFirst(pgVersion3, []byte("user\x00"+name+"\x00database\x00"+name+"\x00_pq_."+name+"\x001\x00\x00"))
	}
	return starttls.Injection{
		Probe:    startup(marker),
		Control:  startup(twin(marker)),
		Classify: classifyHolds(twin(marker), marker),
	}
}
