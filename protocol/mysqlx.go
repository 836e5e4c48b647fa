package protocol

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"example.org/starttls"
)

// MySQLX is MySQL's X protocol: messages of protobuf, in which setting the
// capability "tls" asks for TLS and the server's Ok grants it. Newer servers say
// unasked that they are there, by a notice; notices may come at any time.
var MySQLX = register(mysqlx{})

type mysqlx struct{}

func (mysqlx) Info() starttls.Info {
	return starttls.Info{
		Name: "mysqlx", Port: 33060, Title: "MySQL's X protocol", Reference: "MySQL X protocol, capability tls", Binary: true,
	}
}

// Types of messages: a client's (Mysqlx.ClientMessages) and a server's.
const (
	xCapGet   = 1
	xCapSet   = 2
	xClose    = 3
	xAuth     = 4
	xAuthMore = 5
	xReset    = 6
	xLeave    = 7
	xExecute  = 12

	xOK          = 0
	xError       = 1
	xCaps        = 2
	xAuthAsk     = 3
	xAuthOK      = 4
	xNotice      = 11
	xColumn      = 12
	xRow         = 13
	xFetched     = 14
	xExecuted    = 17
	xMost        = 16 << 10 // bytes of a message that is read at all
	xErrPrepare  = 5001     // ER_X_CAPABILITIES_PREPARE_FAILED
	xErrNotFound = 5002     // ER_X_CAPABILITY_NOT_FOUND

	xTLS        = "tls"
	xMechanisms = "authentication.mechanisms"
)

// xMessage builds a message: a length, of what follows it, a type and protobuf.
func xMessage(kind byte, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(1+len(body)))
	return append(append(b, kind), body...)
}

// xHead takes a message's head apart.
func xHead(head []byte) (kind byte, length int, err error) {
	n := binary.LittleEndian.Uint32(head)
	if n < 1 || n > xMost {
		return 0, 0, &starttls.ReplyError{Expected: "an X protocol message", Reply: head}
	}
	return head[4], int(n) - 1, nil
}

// readX reads a message.
func readX(w *starttls.Wire) (kind byte, body []byte, err error) {
	head, err := w.ReadN(5)
	if err != nil {
		return 0, nil, err
	}
	kind, n, err := xHead(head)
	if err != nil {
		return 0, nil, err
	}
	body, err = w.ReadN(n)
	return kind, body, err
}

// xAnswer reads an answer, past the notices before it. An Error is a RefusedError.
func xAnswer(w *starttls.Wire) (kind byte, body []byte, err error) {
	for {
		kind, body, err = readX(w)
		switch {
		case err != nil:
			return 0, nil, err
		case kind == xError:
			text := fmt.Sprintf("%d %s", pbGet(body, 2).n, pbGet(body, 3).data)
			return 0, nil, &starttls.RefusedError{Reply: xMessage(kind, body), Text: text}
		case kind != xNotice:
			return kind, body, nil
		}
	}
}

// xCapabilities are the names and values in a Capabilities message.
func xCapabilities(body []byte) (names []string, values map[string][]byte, ok bool) {
	fields, ok := parsePB(body)
	values = map[string][]byte{}
	for _, f := range fields {
		name := string(pbGet(f.data, 1).data)
		names = append(names, name)
		values[name] = pbGet(f.data, 2).data
	}
	return names, values, ok
}

// Probe asks for the capabilities. "tls" is offered where it is not yet on.
func (mysqlx) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	if _, err := w.Write(xMessage(xCapGet, nil)); err != nil {
		return h, err
	}
	kind, body, err := xAnswer(w)
	if err != nil {
		return h, err
	}
	names, values, ok := xCapabilities(body)
	if kind != xCaps || !ok {
		return h, &starttls.ReplyError{Expected: "the capabilities", Reply: xMessage(kind, body)}
	}
	h.Caps, h.Auth = names, xStrings(values[xMechanisms])
	value, listed := values[xTLS]
	h.Offered = listed && !xBool(value)
	return h, nil
}

func (p mysqlx) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	if ask == starttls.NoAsk {
		return starttls.Hello{}, nil
	}
	h, err := p.Probe(w)
	if err != nil {
		return h, err
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	if err := w.Ask(xMessage(xCapSet, pbBytes(1, xCapability(xTLS, xAnyBool(true))))); err != nil {
		return h, err
	}
	kind, body, err := xAnswer(w)
	if err == nil && kind != xOK {
		err = &starttls.ReplyError{Expected: "an answer to the request for TLS", Reply: xMessage(kind, body)}
	}
	return h, err
}

// peekX looks at a client's next message, and tells what it wants to set: the
// names of its capabilities, but for "tls" only where it is to be on.
func peekX(w *starttls.Wire) (kind byte, sets []string, err error) {
	head, err := w.Peek(5)
	if err != nil {
		return 0, nil, err
	}
	kind, n, err := xHead(head)
	if err != nil || kind != xCapSet {
		return kind, nil, err
	}
	whole, err := w.Peek(5 + n)
	if err != nil {
		return 0, nil, err
	}
	names, values, _ := xCapabilities(pbGet(whole[5:], 1).data)
	return kind, slices.DeleteFunc(names, func(name string) bool { return name == xTLS && !xBool(values[xTLS]) }), nil
}

func (p mysqlx) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	for offer.Mode != starttls.NoOffer {
		kind, sets, err := peekX(w)
		if err != nil {
			return out, err
		}
		request := slices.Contains(sets, xTLS)
		session := !request && kind != xCapGet && kind != xClose
		if session && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional) {
			return out, nil
		}
		if _, _, err := readX(w); err != nil {
			return out, err
		}
		if request && (offer.Mode == starttls.Grant || offer.Mode == starttls.Optional) {
			out.TLS = true
			return out, w.GoAhead([]byte(or(string(offer.Reply), string(xMessage(xOK, nil)))))
		}
		if end, err := p.clear(w, h, offer, kind, sets); end || err != nil {
			return out, cmpErr(err, starttls.ErrNotUpgraded)
		}
	}
	return out, nil
}

// clear answers a message before TLS, and reports whether it is the last.
func (mysqlx) clear(w *starttls.Wire, h starttls.Hello, offer starttls.Offer, kind byte, sets []string) (end bool, err error) {
	var reply []byte
	switch {
	case kind == xCapGet:
		var caps []byte
		if offers(offer) {
			caps = xCapability(or(offer.Keyword, xTLS), xAnyBool(false))
		}
		if offer.Mode == starttls.Hide || offer.Mode == starttls.Optional {
			caps = append(caps, xSignIn(h)...)
		}
		_, err = w.Write(xMessage(xCaps, caps))
		return false, err
	case kind == xClose:
		_, err = w.Write(xMessage(xOK, nil))
		return true, err
	case slices.Contains(sets, xTLS):
		reply = []byte(or(string(offer.Reply), string(xFailure(xErrPrepare, "Capability prepare failed for 'tls'"))))
	case kind == xCapSet: // nothing that is set in clear shall hold inside TLS
		reply = xFailure(xErrPrepare, "Capability prepare failed for '"+strings.Join(sets, " ")+"': TLS comes first")
	default:
		_, err = w.Write(xFailure(myErrInsecure, "TLS is required: nothing is accepted in clear"))
		return true, err
	}
	if _, err := w.Write(reply); err != nil {
		return false, err
	}
	return false, w.Refused()
}

// Injection: the capabilities are given to who asks for them, and an unknown one
// can not be set.
func (mysqlx) Injection(_, marker string) starttls.Injection {
	return starttls.Injection{
		Probe:   xMessage(xCapGet, nil),
		Control: xMessage(xCapSet, pbBytes(1, xCapability(marker, xAnyBool(true)))),
		Classify: func(said []byte) (r starttls.Reply) {
			for len(said) >= 5 {
				kind, n, err := xHead(said)
				if err != nil || n > len(said)-5 {
					return r
				}
				r.Probe = r.Probe || kind == xCaps
				r.Control = r.Control || kind == xError
				said = said[5+n:]
			}
			return r
		},
	}
}
