package protocol

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"strings"

	"example.org/starttls"
)

// MySQL is the MySQL and MariaDB client/server protocol: the server's greeting
// says whether it has TLS, and the ClientHello follows the SSLRequest without
// an answer.
var MySQL = register(mysql{})

type mysql struct{}

func (mysql) Info() starttls.Info {
	return starttls.Info{
		Name: "mysql", Aliases: []string{"mariadb"}, Port: 3306, Title: "MySQL and MariaDB",
		Reference: "MySQL client/server protocol, SSLRequest", ServerFirst: true, EagerClient: true, Binary: true,
	}
}

// Capability flags.
const (
	myLongPassword = 1 << 0
	myConnectDB    = 1 << 3
	myProtocol41   = 1 << 9
	mySSL          = 1 << 11
	myTransactions = 1 << 13
	mySecure       = 1 << 15
	myPluginAuth   = 1 << 19

	myCaps        = myLongPassword | myProtocol41 | myTransactions | mySecure | myPluginAuth
	myMaxPacket   = 1 << 24
	myUTF8        = 45
	myErrInsecure = 3159 // ER_SECURE_TRANSPORT_REQUIRED
)

// readMySQL reads a packet: three bytes of length, a number, a body.
func readMySQL(w *starttls.Wire) (seq byte, body []byte, err error) {
	head, err := w.ReadN(4)
	if err != nil {
		return 0, nil, err
	}
	body, err = w.ReadN(int(head[0]) | int(head[1])<<8 | int(head[2])<<16)
	return head[3], body, err
}

func myPacket(seq byte, body []byte) []byte {
	n := len(body)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}, body...)
}

// myGreeting is what is of interest in a HandshakeV10.
type myGreeting struct {
	version, plugin string
	caps            uint32
}

func parseMyGreeting(b []byte) (g myGreeting, ok bool) {
	if len(b) < 1 || b[0] != 10 {
		return g, false
	}
	version, rest, found := bytes.Cut(b[1:], []byte{0})
	if !found || len(rest) < 4+8+1+2 {
		return g, false
	}
	g.version = string(version)
	g.caps = uint32(binary.LittleEndian.Uint16(rest[13:]))
	if rest = rest[15:]; len(rest) < 1+2+2+1+10 {
		return g, true // from before 4.1
	}
	g.caps |= uint32(binary.LittleEndian.Uint16(rest[3:])) << 16
	scramble := max(13, int(rest[5])-8)
	if rest = rest[16:]; len(rest) > scramble {
		plugin, _, _ := bytes.Cut(rest[scramble:], []byte{0})
		g.plugin = string(plugin)
	}
	return g, true
}

func (mysql) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	seq, body, err := readMySQL(w)
	if err != nil {
		return h, err
	}
	h.Greeting = myPacket(seq, body)
	if len(body) > 0 && body[0] == 0xff {
		return h, &starttls.RefusedError{Reply: body, Temporary: true}
	}
	g, ok := parseMyGreeting(body)
	if !ok {
		return h, &starttls.ReplyError{Expected: "a greeting", Reply: h.Greeting}
	}
	h.Software = g.version
	if g.plugin != "" {
		h.Auth = []string{g.plugin}
	}
	if g.caps&mySSL != 0 {
		h.Offered = true
		h.Caps = []string{"SSL"}
	}
	if ask == starttls.NoAsk {
		return h, nil
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	return h, w.Ask(myPacket(seq+1, myHandshake(mySSL)))
}

// myHandshake is the head of a client's answer: with flag mySSL and nothing
// behind it, it is the SSLRequest.
func myHandshake(flags uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, myCaps|flags)
	b = binary.LittleEndian.AppendUint32(b, myMaxPacket)
	return append(append(b, myUTF8), make([]byte, 23)...)
}

// Probe signs in as a user that does not exist and reads how it is turned away.
// The session is used up by it. It presumes that the greeting came before TLS.
func (mysql) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	seq, flags := byte(2), uint32(mySSL)
	if !w.TLS() {
		seq, flags = 1, 0
	}
	body := append(myHandshake(flags), "starttls-probe\x00\x00mysql_native_password\x00"...)
	if _, err := w.Write(myPacket(seq, body)); err != nil {
		return h, err
	}
	_, answer, err := readMySQL(w)
	if err != nil {
		return h, err
	}
	switch {
	case len(answer) > 0 && answer[0] == 0xff:
		h.Caps = []string{"error: " + myErrorText(answer)}
	case len(answer) > 0 && answer[0] == 0xfe:
		plugin, _, _ := bytes.Cut(answer[1:], []byte{0})
		h.Auth = []string{string(plugin)}
	case len(answer) > 0 && answer[0] == 0:
		h.Auth = []string{"none"}
	default:
		return h, &starttls.ReplyError{Expected: "an answer to the sign-in", Reply: answer}
	}
	return h, nil
}

func myErrorText(b []byte) string {
	if len(b) < 3 {
		return ""
	}
	return strings.TrimPrefix(string(b[3:]), "#")
}

func (p mysql) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	greeting := h.Greeting
	if greeting == nil {
		greeting = newMyGreeting(or(h.Software, "8.0.0-starttls"), offers(offer))
	}
	if _, err := w.Write(greeting); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	head, err := w.Peek(8)
	if err != nil {
		return out, err
	}
	request := head[0] == 32 && head[1] == 0 && head[2] == 0 && binary.LittleEndian.Uint32(head[4:])&mySSL != 0
	if !request && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional) {
		return out, nil
	}
	seq, _, err := readMySQL(w)
	if err != nil {
		return out, err
	}
	if request && (offer.Mode == starttls.Grant || offer.Mode == starttls.Optional) {
		out.TLS = true
		return out, w.GoAhead(nil) // TLS itself is the go-ahead
	}
	text := "#HY000TLS is required: nothing is accepted in clear"
	if request {
		text = "#08S01TLS is not available"
	}
	_, err = w.Write(myError(seq+1, myErrInsecure, text))
	return out, cmpErr(err, starttls.ErrNotUpgraded)
}

func newMyGreeting(version string, tls bool) []byte {
	caps := uint32(myCaps | myConnectDB)
	if tls {
		caps |= mySSL
	}
	scramble := make([]byte, 20)
	rand.Read(scramble)
	for i := range scramble { // no NUL may stand in it
		scramble[i] = scramble[i]&0x7f | 1
	}
	b := append([]byte{10}, version+"\x00\x01\x00\x00\x00"...)
	b = append(append(b, scramble[:8]...), 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(caps))
	b = append(b, myUTF8, 2, 0) // character set, status: autocommit
	b = binary.LittleEndian.AppendUint16(b, uint16(caps>>16))
	b = append(b, 21)
	b = append(b, make([]byte, 10)...)
	b = append(append(b, scramble[8:]...), 0)
	return myPacket(0, append(b, "mysql_native_password\x00"...))
}

func myError(seq byte, code uint16, text string) []byte {
	return myPacket(seq, append(binary.LittleEndian.AppendUint16([]byte{0xff}, code), text...))
}

// Serve takes any sign-in, of which it sees the scrambled password at most, and
// answers every query with one row of one column that holds 1.
func (mysql) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	seq, body, err := readMySQL(w)
	if err != nil {
		return err
	}
	if len(body) < 33 {
		return &starttls.ReplyError{Expected: "a handshake response", Reply: body}
	}
	user, rest, _ := bytes.Cut(body[32:], []byte{0})
	var secret []byte
	if len(rest) > 0 && int(rest[0]) < len(rest) {
		secret = rest[1 : 1+rest[0]]
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "mysql_native_password", User: string(user), Secret: secret})
	ok := []byte{0, 0, 0, 2, 0, 0, 0}
	if _, err := w.Write(myPacket(seq+1, ok)); err != nil {
		return err
	}
	for {
		_, command, err := readMySQL(w)
		if err != nil {
			return err
		}
		if len(command) == 0 {
			return &starttls.ReplyError{Expected: "a command", Reply: nil}
		}
		reply := myPacket(1, ok)
		switch command[0] {
		case 1: // COM_QUIT
			return nil
		case 3: // COM_QUERY
			sink.Tell(starttls.Leak{What: "content"})
			if q := strings.ToLower(string(command[1:])); strings.HasPrefix(q, "select") {
				reply = myOneRow()
			}
		case 2, 14: // COM_INIT_DB, COM_PING
		default:
			if err := w.Refused(); err != nil {
				return err
			}
			reply = myError(1, 1047, "#08S01Unknown command")
		}
		if _, err := w.Write(reply); err != nil {
			return err
		}
	}
}

// myOneRow is a text result set of one column called "1" with the value 1.
func myOneRow() []byte {
	column := append([]byte("\x03def\x00\x00\x00\x011\x00\x0c"), 63, 0, 1, 0, 0, 0, 8, 0x81, 0, 0, 0, 0)
	eof := []byte{0xfe, 0, 0, 2, 0}
	return slices.Concat(myPacket(1, []byte{1}), myPacket(2, column), myPacket(3, eof), myPacket(4, []byte("\x011")), myPacket(5, eof))
}
