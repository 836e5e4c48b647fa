package protocol

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"example.org/starttls"
)

// Bacula is what consoles speak to a Director of Bacula 11 or newer: the console's
// hello says whether it can have TLS, and the Director's "starttls" begins it,
// before either has proved that it knows the password. Older Directors, and
// Bareos where it does not begin with TLS, come to TLS only behind that proof,
// which is no upgrade for who has no password.
//
// There is no specification: src/lib/authenticatebase.cc and src/lib/bsock.c of
// Bacula's source say how it is.
var Bacula = register(bacula{})

type bacula struct{}

func (bacula) Info() starttls.Info {
	return starttls.Info{
		Name: "bacula", Aliases: []string{"bacula-dir"}, Port: 9101, Title: "Bacula, the Director", Reference: "Bacula 11, starttls", Binary: true, Unadvertised: true, SpeaksAfterTLS: true,
	}
}

const (
	baculaMost      = 4096
	baculaNeed      = 100 // what is said of pre-shared keys is a hundred times what is said of TLS: 0 never, 1 can, 2 must
	baculaCan       = 1
	baculaMust      = 2
	baculaChallenge = "auth cram-md5"
	baculaNo        = "1999 You are not authorized.\n"
	baculaWrong     = "1999 Authorization failed.\n"
	baculaRight     = "1000 OK auth\n"
	baculaEOD       = "\xff\xff\xff\xff" // a signal is a length below zero: the end of data
)

func baculaMessage(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// baculaHello is a console's hello. Version 0 keeps the Director from compressing
// what it says.
func baculaHello(need int) []byte {
	return baculaMessage(fmt.Sprintf("Hello *UserAgent* calling 0 tlspsk=%d\n", need))
}

// readBacula reads a message; a signal has no text.
func readBacula(w *starttls.Wire) (text string, err error) {
	head, err := w.ReadN(4)
	if err != nil {
		return "", err
	}
	n := int32(binary.BigEndian.Uint32(head))
	if n > baculaMost {
		return "", &starttls.ReplyError{Expected: "a Bacula message", Reply: head}
	}
	b, err := w.ReadN(int(max(n, 0)))
	return string(b), err
}

func (bacula) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk && w.Upgraded() {
		return readBaculaChallenge(w)
	}
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := w.Ask(baculaHello(baculaMust)); err != nil {
		return h, err
	}
	answer, err := readBacula(w)
	if err != nil {
		return h, err
	}
	need, ok := strings.CutPrefix(answer, "starttls tlspsk=")
	n, err := strconv.Atoi(strings.TrimSpace(need))
	switch {
	case ok && err == nil && n%baculaNeed > 0:
		h.Offered, h.Required = true, n%baculaNeed == baculaMust
		return h, nil
	case ok && err == nil:
		return h, &starttls.RefusedError{Reply: []byte(answer), Text: "it has TLS by a pre-shared key alone"}
	case strings.HasPrefix(answer, baculaChallenge):
		h.Auth = []string{"CRAM-MD5"}
		return h, &starttls.RefusedError{Reply: []byte(answer), Text: "it wants the sign-in first"}
	case strings.HasPrefix(answer, "1999 "):
		return h, &starttls.RefusedError{Reply: []byte(answer)}
	}
	return h, &starttls.ReplyError{Expected: "starttls", Reply: []byte(answer)}
}

// readBaculaChallenge reads what a Director goes on with.
func readBaculaChallenge(w *starttls.Wire) (h starttls.Hello, err error) {
	answer, err := readBacula(w)
	switch {
	case err != nil:
	case strings.HasPrefix(answer, baculaChallenge):
		h.Auth = []string{"CRAM-MD5"}
	case strings.HasPrefix(answer, "1999 "):
		err = &starttls.RefusedError{Reply: []byte(answer)}
	default:
		err = &starttls.ReplyError{Expected: "a challenge", Reply: []byte(answer)}
	}
	return h, err
}

// Probe answers the challenge, which was read on the way into TLS, by a signal,
// and reads how it is turned away. Elsewhere it calls, for a challenge.
func (bacula) Probe(w *starttls.Wire) (starttls.Hello, error) {
	if !w.Upgraded() {
		if _, err := w.Write(baculaHello(0)); err != nil {
			return starttls.Hello{}, err
		}
		return readBaculaChallenge(w)
	}
	h := starttls.Hello{Auth: []string{"CRAM-MD5"}}
	if _, err := w.Write([]byte(baculaEOD)); err != nil {
		return h, err
	}
	answer, err := readBacula(w)
	if err == nil && !strings.HasPrefix(answer, "1999 ") {
		err = &starttls.ReplyError{Expected: "a refusal", Reply: []byte(answer)}
	}
	return h, err
}

// Injection: a wrong answer to the challenge is called wrong, a signal in the
// place of an answer is not.
func (bacula) Injection(_, _ string) starttls.Injection {
	return starttls.Injection{
		Probe:    baculaMessage("AAAAAAAAAAAAAAAAAAAAAA\x00"),
		Control:  []byte(baculaEOD),
		Classify: classifyHolds(baculaNo, baculaWrong, baculaRight),
	}
}

// parseBaculaHello reads who calls, and what it says of TLS.
func parseBaculaHello(text string) (name string, need int, ok bool) {
	f := strings.Fields(text)
	if len(f) < 3 || f[0] != "Hello" || f[2] != "calling" {
		return "", 0, false
	}
	if said, found := strings.CutPrefix(f[len(f)-1], "tlspsk="); found {
		n, err := strconv.ParseUint(said, 10, 16)
		return f[1], int(n) % baculaNeed, err == nil
	}
	return f[1], 0, true
}

func (bacula) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer && w.Upgraded() {
		return out, askBacula(w)
	}
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	head, err := w.Peek(4)
	if err != nil {
		return out, err
	}
	n := binary.BigEndian.Uint32(head)
	if n > baculaMost-4 {
		bad, _ := w.ReadN(4)
		return out, &starttls.ReplyError{Expected: "a hello", Reply: bad}
	}
	hello, err := w.Peek(4 + int(n))
	if err != nil {
		return out, err
	}
	name, need, ok := parseBaculaHello(string(hello[4:]))
	if !ok {
		bad, _ := w.ReadN(4)
		return out, &starttls.ReplyError{Expected: "a hello", Reply: bad}
	}
	out.Peer = name
	if offer.Mode == starttls.Hide || offer.Mode == starttls.Optional && need == 0 {
		return out, nil
	}
	if _, err := readBacula(w); err != nil {
		return out, err
	}
	if need > 0 && offer.Mode != starttls.Decline {
		need = baculaMust
		if offer.Mode == starttls.Optional {
			need = baculaCan
		}
		out.TLS = true
		return out, w.GoAhead([]byte(or(string(offer.Reply), string(baculaMessage(fmt.Sprintf("starttls tlspsk=%d\n", need))))))
	}
	_, err = w.Write(baculaMessage(baculaNo))
	return out, cmpErr(err, starttls.ErrNotUpgraded)
}

// askBacula begins the sign-in.
func askBacula(w *starttls.Wire) error {
	_, err := w.Write(baculaMessage(baculaChallenge + " <" + rand.Text() + "@" + w.ServerName() + "> ssl=0\n"))
	return err
}

// Serve takes any answer to its challenge. The console then challenges it in
// turn, and is told that nothing comes of it: nobody knows the password here.
func (bacula) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	if !w.Upgraded() {
		if _, err := readBacula(w); err != nil {
			return err
		}
		if err := askBacula(w); err != nil {
			return err
		}
	}
	answer, err := readBacula(w)
	if err != nil {
		return err
	}
	if answer == "" {
		_, err := w.Write(baculaMessage(baculaNo))
		return err
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "CRAM-MD5", Secret: []byte(strings.TrimRight(answer, "\x00"))})
	if _, err := w.Write(baculaMessage(baculaRight)); err != nil {
		return err
	}
	if _, err := readBacula(w); err != nil {
		return err
	}
	_, err = w.Write(baculaMessage(baculaWrong))
	return err
}
