package protocol

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
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
		Reference: "MySQL client/server protocol, SSLRequest", ServerFirst: true, EagerClient: true, BoundGreeting: true, Binary: true,
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

	myNative      = "mysql_native_password"
	myCaps        = myLongPassword | myProtocol41 | myTransactions | mySecure | myPluginAuth
	myMaxPacket   = 1 << 24
	myUTF8        = 45
	myErrInsecure = 3159 // ER_SECURE_TRANSPORT_REQUIRED
	myErrBadHello = 1043 // ER_HANDSHAKE_ERROR
	myErrOldHello = 1251 // ER_NOT_SUPPORTED_AUTH_MODE
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
		code, text := myErrorText(body)
		return h, &starttls.RefusedError{Reply: h.Greeting, Text: text, Temporary: slices.Contains(myTemporary, code)}
	}
	g, ok := parseMyGreeting(body)
	if !ok {
		return h, &starttls.ReplyError{Expected: "a greeting", Reply: h.Greeting}
	}
	h.Software = g.version
	if strings.Contains(g.version, "MariaDB") {
		h.Software = strings.TrimPrefix(g.version, "5.5.5-") // put there for old replicas' sake
	}
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

// myTemporary are the errors that stand for a greeting when the server is full,
// going down, or has had too many failed connections from our address.
var myTemporary = []uint16{1040, 1053, 1129, 1203}

// myHandshake is the head of a client's answer: with flag mySSL and nothing
// behind it, it is the SSLRequest.
func myHandshake(flags uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, myCaps|flags)
	b = binary.LittleEndian.AppendUint32(b, myMaxPacket)
	return append(append(b, myUTF8), make([]byte, 23)...)
}

// Probe signs in as a user that does not exist and reads how it is turned away.
// The session is used up by it.
func (mysql) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	seq, flags := byte(2), uint32(mySSL)
	if !w.Upgraded() {
		seq, flags = 1, 0
	}
	body := append(myHandshake(flags), "starttls-probe\x00\x00"+myNative+"\x00"...)
	if _, err := w.Write(myPacket(seq, body)); err != nil {
		return h, err
	}
	_, answer, err := readMySQL(w)
	if err != nil {
		return h, err
	}
	switch {
	case len(answer) > 0 && answer[0] == 0xff:
		_, text := myErrorText(answer)
		h.Caps = []string{"error: " + text}
	case len(answer) > 0 && answer[0] == 0xfe:
		plugin, _, _ := bytes.Cut(answer[1:], []byte{0})
		h.Auth = []string{string(plugin)}
	case len(answer) > 0 && answer[0] == 0:
		h.Auth = []string{"none"}
	case len(answer) > 0 && answer[0] == 1: // AuthMoreData, from the plugin that was named
		h.Auth = []string{myNative}
	default:
		return h, &starttls.ReplyError{Expected: "an answer to the sign-in", Reply: answer}
	}
	return h, nil
}

// myErrorText reads an ERR packet: its code, and code, state and message for people.
func myErrorText(b []byte) (code uint16, text string) {
	if len(b) < 3 {
		return 0, "an error without a code"
	}
	code = binary.LittleEndian.Uint16(b[1:])
	return code, fmt.Sprintf("%d %s", code, strings.TrimPrefix(string(b[3:]), "#"))
}

// Server greets and reads the client's answer. With an SSLRequest, which is the
// head of an answer and nothing else, the client has said all that it says in
// clear; its ClientHello may be here by then, and stays unread.
func (p mysql) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	greeting := h.Greeting
	if greeting == nil {
		greeting = newMyGreeting(h)
	}
	greeting = mySetSSL(greeting, offers(offer))
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
		return out, w.GoAhead(offer.Reply) // nothing, but in a test of clients: TLS itself is the go-ahead
	}
	reply := myError(seq+1, myErrInsecure, "#HY000TLS is required: nothing is accepted in clear")
	if request {
		reply = myError(seq+1, myErrBadHello, "#08S01TLS is not available")
		if offer.Mode == starttls.Decline && len(offer.Reply) > 0 {
			reply = offer.Reply
		}
	}
	_, err = w.Write(reply)
	return out, cmpErr(err, starttls.ErrNotUpgraded)
}

// mySetSSL returns a greeting, whosever it is, that offers TLS or does not. All
// else stays as it is: sign-in is bound to the scramble, so a gateway must pass
// on its backend's. What is no greeting is left alone.
func mySetSSL(greeting []byte, tls bool) []byte {
	out := bytes.Clone(greeting)
	if len(out) < 5 {
		return out
	}
	end := bytes.IndexByte(out[5:], 0) // of the version, behind the packet's head and the protocol's number
	if _, ok := parseMyGreeting(out[4:]); !ok || end < 0 {
		return out
	}
	high := &out[5+end+1+4+8+1+1] // behind the thread's number, half the scramble and a NUL; the high byte of the low half
	*high &^= mySSL >> 8
	if tls {
		*high |= mySSL >> 8
	}
	return out
}

// newMyGreeting builds a greeting with a scramble of its own and without TLS.
func newMyGreeting(h starttls.Hello) []byte {
	caps := uint32(myCaps | myConnectDB)
	plugin := myNative
	if len(h.Auth) > 0 {
		plugin = h.Auth[0]
	}
	scramble := make([]byte, 20)
	rand.Read(scramble)
	for i := range scramble { // no NUL may stand in it
		scramble[i] = scramble[i]&0x7f | 1
	}
	b := append([]byte{10}, or(h.Software, "8.0.0-starttls")+"\x00\x01\x00\x00\x00"...)
	b = append(append(b, scramble[:8]...), 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(caps))
	b = append(b, myUTF8, 2, 0) // character set, status: autocommit
	b = binary.LittleEndian.AppendUint16(b, uint16(caps>>16))
	b = append(b, 21)
	b = append(b, make([]byte, 10)...)
	b = append(append(b, scramble[8:]...), 0)
	return myPacket(0, append(b, plugin+"\x00"...))
}

func myError(seq byte, code uint16, text string) []byte {
	return myPacket(seq, append(binary.LittleEndian.AppendUint16([]byte{0xff}, code), text...))
}
