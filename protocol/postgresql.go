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
		ALPN: []string{"postgresql"}, ALPNRequired: true, Binary: true,
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
		_, body, err := readPG(w)
		if err != nil {
			return h, err
		}
		return h, &starttls.RefusedError{Reply: append([]byte("E "), pgErrorText(body)...)}
	}
	answer, err = w.ReadN(1)
	if err != nil {
		return h, err
	}
	return h, &starttls.ReplyError{Expected: "S or N", Reply: answer}
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
	case 10:
		return strings.FieldsFunc(string(body[4:]), func(r rune) bool { return r == 0 })
	default:
		return []string{fmt.Sprintf("METHOD %d", code)}
	}
}

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
		switch {
		case code>>16 == 3 && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional):
			return out, nil
		case code>>16 == 3:
			_, err := w.Write(pgError("28000", "no encryption: TLS is required"))
			return out, cmpErr(err, starttls.ErrNotUpgraded)
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
		if _, err := w.Write([]byte("N")); err != nil {
			return out, err
		}
		if err := w.Refused(); err != nil {
			return out, err
		}
	}
}

// cmpErr is the first of the errors that is not nil.
func cmpErr(errs ...error) error {
	i := slices.IndexFunc(errs, func(e error) bool { return e != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

func pgError(code, message string) []byte {
	return pgPacket('E', "SFATAL\x00VFATAL\x00C", code, "\x00M", message, "\x00\x00")
}

// Serve asks for a password, takes any, and answers every query with one row of
// one column that holds 1.
func (postgresql) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	head, err := w.ReadN(8)
	if err != nil {
		return err
	}
	n, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	if code == pgCancel {
		return nil
	}
	if code>>16 != 3 || n < 8 || n > 10000 {
		return &starttls.ReplyError{Expected: "a startup message", Reply: head}
	}
	params, err := w.ReadN(int(n) - 8)
	if err != nil {
		return err
	}
	if _, err := w.Write(pgPacket('R', "\x00\x00\x00\x03")); err != nil {
		return err
	}
	kind, secret, err := readPG(w)
	if err != nil {
		return err
	}
	if kind != 'p' {
		return &starttls.ReplyError{Expected: "a password", Reply: []byte{kind}}
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "PASSWORD", User: pgUser(params), Secret: bytes.TrimRight(secret, "\x00")})
	ready := pgPacket('Z', "I")
	hello := slices.Concat(pgPacket('R', "\x00\x00\x00\x00"), pgPacket('S', "server_version\x00", or(h.Software, "15.0"), "\x00"),
		pgPacket('S', "client_encoding\x00UTF8\x00"), ready)
	if _, err := w.Write(hello); err != nil {
		return err
	}
	row := slices.Concat(
		pgPacket('T', "\x00\x01?column?\x00", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00"),
		pgPacket('D', "\x00\x01\x00\x00\x00\x011"), pgPacket('C', "SELECT 1\x00"), ready)
	for {
		kind, _, err := readPG(w)
		if err != nil {
			return err
		}
		reply := row
		switch kind {
		case 'X':
			return nil
		case 'Q':
			sink.Tell(starttls.Leak{What: "content"})
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = append(pgPacket('E', "SERROR\x00VERROR\x00C0A000\x00Msimple queries only\x00\x00"), ready...)
		}
		if _, err := w.Write(reply); err != nil {
			return err
		}
	}
}

func pgUser(params []byte) string {
	fields := strings.Split(string(params), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "user" {
			return fields[i+1]
		}
	}
	return ""
}
