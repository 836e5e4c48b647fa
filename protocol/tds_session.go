package protocol

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"example.org/starttls"
)

// The first messages of a TDS session, as far as a prober and a host need them.

// Tokens of a server's messages (MS-TDS, section 2.2.7).
const (
	tdsColumns = 0x81
	tdsError   = 0xaa
	tdsInfo    = 0xab
	tdsAck     = 0xad
	tdsRow     = 0xd1
	tdsEnv     = 0xe3
	tdsDone    = 0xfd
)

// ucs2 is s as TDS writes text.
func ucs2(s string) []byte {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

func fromUCS2(b []byte) string {
	var u []uint16
	for ; len(b) >= 2; b = b[2:] {
		u = append(u, binary.LittleEndian.Uint16(b))
	}
	return string(utf16.Decode(u))
}

// In LOGIN7 (section 2.2.6.4), where a field's place and length stand.
const (
	login7Version  = 4
	login7Fields   = 36
	login7User     = login7Fields + 4
	login7Password = login7Fields + 8
	login7Head     = 94
	login7MostName = 128 // characters
)

// login7 builds a LOGIN7 for a user without a password.
func login7(user string) []byte {
	name := ucs2(user)
	b := make([]byte, login7Head, login7Head+len(name))
	binary.LittleEndian.PutUint32(b, uint32(login7Head+len(name)))
	binary.LittleEndian.PutUint32(b[login7Version:], 0x74000004) // TDS 7.4
	binary.LittleEndian.PutUint32(b[8:], tdsPacket)
	for at := login7Fields; at < login7Head-4; at += 4 {
		if at == login7Fields+9*4 { // the client's identity, which is no field
			at += 6
		}
		binary.LittleEndian.PutUint16(b[at:], login7Head)
	}
	binary.LittleEndian.PutUint16(b[login7User+2:], uint16(len(name)/2))
	return tdsMessage(tdsLogin, append(b, name...))
}

// login7Field is the field whose place and length stand at at.
func login7Field(b []byte, at int) (field []byte, ok bool) {
	offset, n := int(binary.LittleEndian.Uint16(b[at:])), int(binary.LittleEndian.Uint16(b[at+2:]))
	if n > login7MostName || offset+2*n > len(b) {
		return nil, false
	}
	return b[offset : offset+2*n], true
}

// parseLogin7 reads who signs in, and by which password. It is hidden by an
// exclusive or with A5 behind an exchange of each byte's halves.
func parseLogin7(b []byte) (l starttls.Leak, ok bool) {
	if len(b) < login7Head-8 { // of TDS 7.0
		return l, false
	}
	user, ok1 := login7Field(b, login7User)
	hidden, ok2 := login7Field(b, login7Password)
	secret := slices.Clone(hidden)
	for i, c := range secret {
		c ^= 0xa5
		secret[i] = c<<4 | c>>4
	}
	return starttls.Leak{What: "sign-in", Mechanism: "LOGIN7", User: fromUCS2(user), Secret: []byte(fromUCS2(secret))}, ok1 && ok2
}

// tdsSaid is what is of interest in a server's message.
type tdsSaid struct {
	failure  string // the first error
	software string // from LOGINACK
}

func readTDSTokens(b []byte) (said tdsSaid) {
	for len(b) >= 3 {
		if !slices.Contains([]byte{tdsError, tdsInfo, tdsAck, tdsEnv}, b[0]) {
			return said
		}
		n := int(binary.LittleEndian.Uint16(b[1:]))
		if 3+n > len(b) {
			return said
		}
		token, body := b[0], b[3:3+n]
		b = b[3+n:]
		switch {
		case token == tdsError && n >= 8 && said.failure == "":
			text := body[8:]
			said.failure = fmt.Sprintf("%d %s", binary.LittleEndian.Uint32(body), fromUCS2(text[:min(len(text), 2*int(binary.LittleEndian.Uint16(body[6:])))]))
		case token == tdsAck && n >= 6+4:
			name := body[6 : n-4]
			said.software = strings.TrimRight(fromUCS2(name[:min(len(name), 2*int(body[5]))]), "\x00") + " " + tdsDotted(body[n-4:])
		}
	}
	return said
}

// Probe signs in as a user that does not exist and reads how it is turned away.
// The session is used up by it.
func (tds) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	if !w.Upgraded() {
		if _, err := w.Write(tdsMessage(tdsPrelogin, prelogin("", tdsNotSup))); err != nil {
			return h, err
		}
		if _, _, err := readTDS(w); err != nil {
			return h, err
		}
	}
	if _, err := w.Write(login7("starttls-probe")); err != nil {
		return h, err
	}
	kind, data, err := readTDS(w)
	if err != nil {
		return h, err
	}
	said := readTDSTokens(data)
	if kind != tdsReply || said == (tdsSaid{}) {
		return h, &starttls.ReplyError{Expected: "an answer to the sign-in", Reply: data}
	}
	if h.Software = said.software; said.failure != "" {
		h.Caps = []string{"error: " + said.failure}
	}
	return h, nil
}

// Injection: the answer to a sign-in names the user.
func (tds) Injection(_, marker string) starttls.Injection {
	return starttls.Injection{
		Probe:    login7(marker),
		Control:  login7(twin(marker)),
		Classify: classifyHolds(string(ucs2(twin(marker))), string(ucs2(marker))),
	}
}

// tdsToken builds a token that begins with its length.
func tdsToken(token byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	return append(binary.LittleEndian.AppendUint16([]byte{token}, uint16(len(body))), body...)
}

// tdsText is an error or an information, with its number and class.
func tdsText(w *starttls.Wire, token byte, number uint32, class byte, text string) []byte {
	name := ucs2(w.ServerName())
	head := append(binary.LittleEndian.AppendUint32(nil, number), 1, class)
	head = binary.LittleEndian.AppendUint16(head, uint16(len(ucs2(text))/2))
	tail := []byte{0, 1, 0, 0, 0} // no procedure, line 1
	return tdsToken(token, head, ucs2(text), []byte{byte(len(name) / 2)}, name, tail)
}

// tdsEnd is the end of an answer, with the number of its rows.
func tdsEnd(rows byte) []byte {
	status := byte(0)
	if rows > 0 {
		status = 0x10 // the number is valid
	}
	return []byte{tdsDone, status, 0, 0, 0, rows, 0, 0, 0, 0, 0, 0, 0}
}

// tdsFailure is an answer of an error alone.
func tdsFailure(w *starttls.Wire, number uint32, text string) []byte {
	end := tdsEnd(0)
	end[1] = 2 // error
	return append(tdsText(w, tdsError, number, 14, text), end...)
}

// Serve takes any sign-in and answers every SELECT with one row of one column
// that holds 1.
func (p tds) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		kind, data, err := readTDS(w)
		if err != nil {
			return err
		}
		reply := tdsEnd(0)
		switch kind {
		case tdsPrelogin: // where there was no upgrade
			_, encryption, ok := parsePrelogin(data)
			if !ok {
				return &starttls.ReplyError{Expected: "PRELOGIN", Reply: data[:min(len(data), 32)]}
			}
			if !w.TLS() {
				encryption = tdsNotSup
			} // what is said of encryption within TDS 8.0 means nothing, and is given back
			reply = prelogin(h.Software, encryption)
		case tdsLogin:
			leak, ok := parseLogin7(data)
			if !ok {
				return &starttls.ReplyError{Expected: "LOGIN7", Reply: []byte("(not shown)")}
			}
			sink.Tell(leak)
			reply = tdsSignedIn(w, h, leak.User, data[login7Version:])
		case tdsBatch:
			sink.Tell(starttls.Leak{What: "content"})
			if tdsSelects(data) {
				reply = slices.Concat([]byte{tdsColumns, 1, 0, 0, 0, 0, 0, 0, 0, 0x38, 0}, []byte{tdsRow, 1, 0, 0, 0}, tdsEnd(1))
			}
		case tdsRPC:
			sink.Tell(starttls.Leak{What: "content"})
		case tdsCancel: // what was asked has been answered by now, but the client waits for this
			reply[1] = 0x20
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = tdsFailure(w, 50000, "This can not be had here")
		}
		if _, err := w.Write(tdsMessage(tdsReply, reply)); err != nil {
			return err
		}
	}
}

// tdsSignedIn welcomes a user, in the version that the client speaks.
func tdsSignedIn(w *starttls.Wire, h starttls.Hello, user string, version []byte) []byte {
	name := ucs2("Microsoft SQL Server\x00\x00")
	ack := slices.Concat([]byte{1, version[3], version[2], version[1], version[0], byte(len(name) / 2)}, name, tdsNumbers(h.Software))
	return slices.Concat(tdsText(w, tdsInfo, 18453, 0, "Login succeeded for user '"+user+"'."), tdsToken(tdsAck, ack), tdsEnd(0))
}

// tdsSelects reports whether a batch, behind its headers, is a SELECT.
func tdsSelects(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	n := binary.LittleEndian.Uint32(b)
	if n > uint32(len(b)) {
		return false
	}
	words := strings.Fields(fromUCS2(b[n:]))
	return len(words) > 0 && strings.EqualFold(words[0], "select")
}
