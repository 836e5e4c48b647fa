package protocol

import (
	"encoding/binary"
	"fmt"
	"strings"

	"example.org/starttls"
)

// AMQP is AMQP 1.0, whose TLS layer is asked for by a protocol header (OASIS
// AMQP 1.0, part 5, section 5.2). A server that will not have it answers with a
// header that it would have, and closes. AMQP 0-9-1 has no upgrade.
var AMQP = register(amqp{})

type amqp struct{}

func (amqp) Info() starttls.Info {
	return starttls.Info{
		Name: "amqp", Port: 5672, ImplicitTLS: 5671, Title: "AMQP 1.0, messages", Reference: "OASIS AMQP 1.0 part 5", Binary: true, Unadvertised: true,
	}
}

// Protocol headers: the layer is their fifth byte.
const (
	amqpPlain = "AMQP\x00\x01\x00\x00"
	amqpTLS   = "AMQP\x02\x01\x00\x00"
	amqpSASL  = "AMQP\x03\x01\x00\x00"
)

func (amqp) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := w.Ask([]byte(amqpTLS)); err != nil {
		return h, err
	}
	answer, err := readAMQPHeader(w)
	if err != nil {
		return h, err
	}
	if string(answer) != amqpTLS {
		return h, &starttls.RefusedError{Reply: answer, Text: amqpLayer(answer)}
	}
	h.Offered = true
	return h, nil
}

func readAMQPHeader(w *starttls.Wire) ([]byte, error) {
	b, err := w.ReadN(len(amqpTLS))
	if err == nil && string(b[:4]) != "AMQP" {
		err = &starttls.ReplyError{Expected: "an AMQP header", Reply: b}
	}
	return b, err
}

// amqpLayer says in words what a header stands for.
func amqpLayer(header []byte) string {
	switch string(header) {
	case amqpPlain:
		return "it wants AMQP 1.0 without TLS"
	case amqpSASL:
		return "it wants SASL without TLS"
	}
	return fmt.Sprintf("it wants AMQP %d-%d-%d, layer %d", header[5], header[6], header[7], header[4])
}

// Probe asks for SASL and reads the mechanisms. The session is used up by it.
func (amqp) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	if _, err := w.Write([]byte(amqpSASL)); err != nil {
		return h, err
	}
	answer, err := readAMQPHeader(w)
	if err != nil {
		return h, err
	}
	if string(answer) != amqpSASL { // a server that wants no sign-in
		h.Caps = []string{amqpLayer(answer)}
		return h, nil
	}
	code, body, err := readAMQPFrame(w)
	if err != nil {
		return h, err
	}
	if code != amqpMechanisms {
		return h, &starttls.ReplyError{Expected: "sasl-mechanisms", Reply: body}
	}
	if fields, _ := amqpList(body); len(fields) > 0 {
		h.Auth = amqpSymbols(fields[0])
	}
	return h, nil
}

func (amqp) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	header, err := w.Peek(len(amqpTLS))
	if err != nil {
		return out, err
	}
	request := string(header) == amqpTLS
	if !request && string(header[:4]) == "AMQP" && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional) {
		return out, nil
	}
	if _, err := readAMQPHeader(w); err != nil {
		return out, err
	}
	reply := amqpTLS
	switch {
	case request && (offer.Mode == starttls.Grant || offer.Mode == starttls.Optional):
		out.TLS = true
		return out, w.GoAhead([]byte(override(offer, amqpTLS)))
	case request:
		reply = override(offer, amqpSASL)
	}
	_, err = w.Write([]byte(reply)) // what it should have said; then the connection ends
	return out, cmpErr(err, starttls.ErrNotUpgraded)
}

// Performatives, by the low byte of their descriptor.
const (
	amqpOpen       = 0x10
	amqpClose      = 0x18
	amqpMechanisms = 0x40
	amqpInit       = 0x41
	amqpOutcome    = 0x44
)

// Serve takes any sign-in, opens the connection and closes it when asked to.
func (amqp) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	header, err := readAMQPHeader(w)
	if err != nil {
		return err
	}
	if string(header) == amqpSASL {
		if err := amqpSignIn(w, sink); err != nil {
			return err
		}
		if header, err = readAMQPHeader(w); err != nil {
			return err
		}
	}
	if _, err := w.Write([]byte(amqpPlain)); err != nil {
		return err
	}
	if string(header) != amqpPlain {
		return &starttls.ReplyError{Expected: "the header of AMQP 1.0", Reply: header}
	}
	for {
		code, _, err := readAMQPFrame(w)
		if err != nil {
			return err
		}
		switch code {
		case amqpOpen:
			_, err = w.Write(amqpFrame(0, amqpOpen, "\xa1\x08starttls"))
		case amqpClose:
			_, err = w.Write(amqpFrame(0, amqpClose))
			return err
		default:
			sink.Tell(starttls.Leak{What: "content"})
			err = w.Refused()
		}
		if err != nil {
			return err
		}
	}
}

func amqpSignIn(w *starttls.Wire, sink starttls.Sink) error {
	list := "\xe0\x12\x02\xa3\x05PLAIN\x09ANONYMOUS" // array of two symbols
	if _, err := w.Write(append([]byte(amqpSASL), amqpFrame(1, amqpMechanisms, list)...)); err != nil {
		return err
	}
	code, body, err := readAMQPFrame(w)
	if err != nil {
		return err
	}
	fields, ok := amqpList(body)
	if code != amqpInit || !ok || len(fields) == 0 {
		return &starttls.ReplyError{Expected: "sasl-init", Reply: body[:min(len(body), 8)]}
	}
	leak := starttls.Leak{What: "sign-in", Mechanism: strings.Join(amqpSymbols(fields[0]), "")}
	if len(fields) > 1 {
		if parts := strings.SplitN(string(amqpValue(fields[1])), "\x00", 3); leak.Mechanism == "PLAIN" && len(parts) == 3 {
			leak.User, leak.Secret = parts[1], []byte(parts[2])
		}
	}
	sink.Tell(leak)
	_, err = w.Write(amqpFrame(1, amqpOutcome, "\x50\x00")) // ok
	return err
}

// amqpFrame builds a frame with one performative of a few short fields.
func amqpFrame(kind, code byte, fields ...string) []byte {
	body := strings.Join(fields, "")
	b := []byte{0, 0, 0, byte(8 + 3 + 3 + len(body)), 2, kind, 0, 0, 0, 0x53, code, 0xc0, byte(1 + len(body)), byte(len(fields))}
	return append(b, body...)
}

// readAMQPFrame reads a frame and returns its performative's code, and what is
// behind that. Empty frames keep a connection alive, and are read over.
func readAMQPFrame(w *starttls.Wire) (code byte, body []byte, err error) {
	for {
		head, err := w.ReadN(8)
		if err != nil {
			return 0, nil, err
		}
		size, skip := binary.BigEndian.Uint32(head), 4*uint32(head[4])
		if size < 8 || size > 1<<16 || skip < 8 || skip > size {
			return 0, nil, &starttls.ReplyError{Expected: "an AMQP frame", Reply: head}
		}
		rest, err := w.ReadN(int(size) - 8)
		if err != nil {
			return 0, nil, err
		}
		if rest = rest[skip-8:]; len(rest) == 0 {
			continue
		}
		if len(rest) < 3 || rest[0] != 0 || rest[1] != 0x53 { // described by a small ulong
			return 0, nil, &starttls.ReplyError{Expected: "a performative", Reply: rest[:min(len(rest), 8)]}
		}
		return rest[2], rest[3:], nil
	}
}

// Injection: the header of SASL is answered by it and the mechanisms, the other
// by one of the two alone.
func (amqp) Injection(_, _ string) starttls.Injection {
	return starttls.Injection{
		Probe:   []byte(amqpSASL),
		Control: []byte(amqpPlain),
		Classify: func(said []byte) starttls.Reply {
			_, frame, _ := strings.Cut(string(said), amqpSASL)
			return starttls.Reply{
				Probe:   len(frame) > 5 && frame[5] == 1, // of SASL
				Control: strings.Contains(string(said), amqpSASL) || strings.Contains(string(said), amqpPlain),
			}
		},
	}
}
