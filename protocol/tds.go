package protocol

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"

	"example.org/starttls"
)

// TDS is Microsoft SQL Server's protocol (MS-TDS): the PRELOGIN messages agree
// on encryption, and the TLS handshake then goes in packets of their own type.
// TDS 8.0, "strict", is the form that begins with TLS. Nothing is advertised:
// whether there is TLS shows when it is asked for.
var TDS = register(tds{})

type tds struct{}

func (tds) Info() starttls.Info {
	return starttls.Info{
		Name: "tds", Aliases: []string{"mssql", "sqlserver", "ms-sql-s"}, Port: 1433, ImplicitTLS: 1433, ALPN: []string{"tds/8.0"},
		Title: "Microsoft SQL Server", Reference: "MS-TDS", Binary: true, Unadvertised: true, MaxVersion: tls.VersionTLS12,
	}
}

// Types of packets (section 2.2.3.1.1), and of options in PRELOGIN (2.2.6.5).
const (
	tdsBatch    = 0x01
	tdsRPC      = 0x03
	tdsReply    = 0x04
	tdsCancel   = 0x06
	tdsLogin    = 0x10
	tdsPrelogin = 0x12

	tdsVersion    = 0
	tdsEncryption = 1
	tdsOptionsEnd = 0xff

	tdsHead     = 8        // bytes of a packet's head
	tdsPacket   = 4096     // bytes of a packet before LOGIN7 has agreed on more
	tdsMost     = 32 << 10 // bytes of a message that is read at all
	tdsLastMark = 1        // in a packet's status
)

// What the option for encryption says. Its high bit is about client certificates.
const (
	tdsOff    = 0 // the sign-in alone is encrypted
	tdsOn     = 1
	tdsNotSup = 2
	tdsReq    = 3
	tdsValue  = 0x7f
)

// tdsMessage builds a message of one packet.
func tdsMessage(kind byte, data []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{kind, tdsLastMark}, uint16(tdsHead+len(data)))
	return append(append(b, 0, 0, 1, 0), data...)
}

// readTDS reads a message, in as many packets as it has.
func readTDS(w *starttls.Wire) (kind byte, data []byte, err error) {
	for first := true; ; first = false {
		head, err := w.ReadN(tdsHead)
		if err != nil {
			return 0, nil, err
		}
		n := int(binary.BigEndian.Uint16(head[2:]))
		if n < tdsHead || !first && head[0] != kind {
			return 0, nil, &starttls.ReplyError{Expected: "a TDS packet", Reply: head}
		}
		kind = head[0]
		if len(data)+n > tdsMost {
			return 0, nil, &starttls.LimitError{What: "bytes of a TDS message", Limit: tdsMost}
		}
		body, err := w.ReadN(n - tdsHead)
		if err != nil {
			return 0, nil, err
		}
		if data = append(data, body...); head[1]&tdsLastMark != 0 {
			return kind, data, nil
		}
	}
}

// prelogin builds the data of a PRELOGIN message: a table of options and their
// values.
func prelogin(version string, encryption byte) []byte {
	const table = 5 + 5 + 1
	b := []byte{tdsVersion, 0, table, 0, 6, tdsEncryption, 0, table + 6, 0, 1, tdsOptionsEnd}
	return append(append(b, tdsNumbers(version)...), 0, 0, encryption)
}

// tdsNumbers is a version as the wire has it; without one, that of SQL Server 2022.
func tdsNumbers(version string) []byte {
	major, minor, build := uint8(16), uint8(0), uint16(1000)
	fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &build)
	return binary.BigEndian.AppendUint16([]byte{major, minor}, build)
}

// tdsDotted is the version in b.
func tdsDotted(b []byte) string {
	return fmt.Sprintf("%d.%d.%d", b[0], b[1], binary.BigEndian.Uint16(b[2:]))
}

// parsePrelogin reads the sender's version and what it says of encryption.
func parsePrelogin(b []byte) (version string, encryption byte, ok bool) {
	for at := 0; ; at += 5 {
		switch {
		case at < len(b) && b[at] == tdsOptionsEnd:
			return version, encryption, ok
		case at+5 > len(b):
			return "", 0, false
		}
		offset, n := int(binary.BigEndian.Uint16(b[at+1:])), int(binary.BigEndian.Uint16(b[at+3:]))
		if offset+n > len(b) {
			return "", 0, false
		}
		switch value := b[offset : offset+n]; {
		case b[at] == tdsVersion && n == 6:
			version = tdsDotted(value)
		case b[at] == tdsEncryption && n == 1:
			encryption, ok = value[0]&tdsValue, true
		}
	}
}

func (tds) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := w.Ask(tdsMessage(tdsPrelogin, prelogin("", tdsOn))); err != nil {
		return h, err
	}
	kind, data, err := readTDS(w)
	if err != nil {
		return h, err
	}
	version, encryption, ok := parsePrelogin(data)
	if said := readTDSTokens(data); kind == tdsReply && said.failure != "" {
		return h, &starttls.RefusedError{Reply: data, Text: said.failure}
	}
	if kind != tdsReply || !ok {
		return h, &starttls.ReplyError{Expected: "an answer to PRELOGIN", Reply: data}
	}
	h.Software = version
	switch encryption {
	case tdsOn, tdsReq:
		h.Offered, h.Required = true, encryption == tdsReq
		return h, nil
	case tdsOff:
		return h, &starttls.RefusedError{Reply: data, Text: "it encrypts the sign-in alone (ENCRYPT_OFF)"}
	case tdsNotSup:
		return h, &starttls.RefusedError{Reply: data, Text: "it has no encryption (ENCRYPT_NOT_SUP)"}
	}
	return h, &starttls.ReplyError{Expected: "a known value for encryption", Reply: data}
}

// Server answers PRELOGIN. A client waits for the answer: nothing of its TLS
// handshake can have been read by then.
func (p tds) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	for offer.Mode != starttls.NoOffer {
		kind, encryption, err := peekTDS(w)
		if err != nil {
			return out, err
		}
		request := kind == tdsPrelogin && (encryption == tdsOn || encryption == tdsReq)
		if !request && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional) {
			return out, nil
		}
		if _, _, err := readTDS(w); err != nil {
			return out, err
		}
		answer := func(encryption byte) []byte {
			if len(offer.Reply) > 0 && kind == tdsPrelogin {
				return offer.Reply
			}
			return tdsMessage(tdsReply, prelogin(h.Software, encryption))
		}
		switch grant := offer.Mode == starttls.Grant || offer.Mode == starttls.Optional; {
		case kind == tdsLogin:
			_, err = w.Write(tdsMessage(tdsReply, tdsFailure(w, 18456, "TLS is required: nothing is accepted in clear")))
			return out, cmpErr(err, starttls.ErrNotUpgraded)
		case grant && request:
			out.TLS = true
			return out, w.GoAhead(answer(tdsOn))
		case grant && encryption == tdsOff: // it can, and is told that it must (section 2.2.6.5)
			out.TLS = true
			return out, w.GoAhead(answer(tdsReq))
		case grant:
			_, err = w.Write(answer(tdsReq))
			return out, cmpErr(err, starttls.ErrNotUpgraded)
		}
		if _, err := w.Write(answer(tdsNotSup)); err != nil {
			return out, err
		}
		if err := w.Refused(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// peekTDS looks at a client's next message: a PRELOGIN, which fits one packet, or
// LOGIN7.
func peekTDS(w *starttls.Wire) (kind, encryption byte, err error) {
	head, err := w.Peek(tdsHead)
	if err != nil {
		return 0, 0, err
	}
	n, ok := int(binary.BigEndian.Uint16(head[2:])), false
	if kind = head[0]; kind == tdsLogin {
		return kind, 0, nil
	}
	if kind == tdsPrelogin && n >= tdsHead && n <= tdsPacket && head[1]&tdsLastMark != 0 {
		if head, err = w.Peek(n); err != nil {
			return 0, 0, err
		}
		_, encryption, ok = parsePrelogin(head[tdsHead:])
	}
	if !ok {
		bad, _ := w.ReadN(tdsHead)
		return 0, 0, &starttls.ReplyError{Expected: "PRELOGIN", Reply: bad}
	}
	return kind, encryption, nil
}
