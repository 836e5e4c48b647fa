package protocol

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"example.org/starttls"
)

// Kerberos is the KDC's service over TCP, upgraded by RFC 6251: a message whose
// length has the high bit set and the first option bit (RFC 5021) asks for TLS,
// and a length of zero grants it. The realm is the server's name in capitals.
var Kerberos = register(kerberos{})

type kerberos struct{}

func (kerberos) Info() starttls.Info {
	return starttls.Info{
		Name: "kerberos", Aliases: []string{"kdc", "krb5"}, Port: 88, Title: "Kerberos, the KDC", Reference: "RFC 6251", Binary: true, Unadvertised: true,
	}
}

const (
	krbExtension = 1 << 31
	krbStartTLS  = krbExtension | 1
	krbMost      = 16 << 10 // bytes of a message

	krbErrPolicy  = 12
	krbErrUnknown = 6
	krbErrTooLong = 61
)

func krbMessage(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func readKRB(w *starttls.Wire) ([]byte, error) {
	head, err := w.ReadN(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n > krbMost {
		return nil, &starttls.ReplyError{Expected: "a Kerberos message", Reply: head}
	}
	return w.ReadN(int(n))
}

func (kerberos) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	if err := w.Ask(binary.BigEndian.AppendUint32(nil, krbStartTLS)); err != nil {
		return h, err
	}
	answer, err := readKRB(w)
	if err != nil {
		return h, err
	}
	if len(answer) > 0 { // KRB-ERROR: the extension is not known (RFC 5021, section 4)
		return h, &starttls.RefusedError{Reply: answer, Text: krbErrorText(answer)}
	}
	h.Offered = true
	return h, nil
}

// Probe asks for a ticket for a principal that does not exist and reads the
// error.
func (kerberos) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	realm := strings.ToUpper(w.ServerName())
	if _, err := w.Write(krbMessage(krbASReq(realm, "starttls-probe", realm))); err != nil {
		return h, err
	}
	answer, err := readKRB(w)
	if err != nil {
		return h, err
	}
	text := krbErrorText(answer)
	if text == "" {
		return h, &starttls.ReplyError{Expected: "KRB-ERROR", Reply: answer}
	}
	h.Caps = []string{"error: " + text}
	return h, nil
}

func (kerberos) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	head, err := w.Peek(4)
	if err != nil {
		return out, err
	}
	n := binary.BigEndian.Uint32(head)
	if n&krbExtension == 0 {
		if offer.Mode == starttls.Hide || offer.Mode == starttls.Optional {
			return out, nil
		}
		b, err := readKRB(w) // whole, or the answer is lost with the connection
		if err != nil {
			return out, err
		}
		_, err = w.Write(krbMessage(krbError(w, krbErrPolicy, b)))
		return out, cmpErr(err, starttls.ErrNotUpgraded)
	}
	if _, err := w.ReadN(4); err != nil {
		return out, err
	}
	if n == krbStartTLS && (offer.Mode == starttls.Grant || offer.Mode == starttls.Optional) {
		reply := offer.Reply
		if len(reply) == 0 {
			reply = make([]byte, 4)
		}
		out.TLS = true
		return out, w.GoAhead(reply)
	}
	_, err = w.Write(krbMessage(krbError(w, krbErrTooLong, nil)))
	return out, cmpErr(err, starttls.ErrNotUpgraded)
}

// Serve answers every request that nobody is known here.
func (kerberos) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		b, err := readKRB(w)
		if err != nil {
			return err
		}
		sink.Tell(starttls.Leak{What: "metadata"})
		if _, err := w.Write(krbMessage(krbError(w, krbErrUnknown, b))); err != nil {
			return err
		}
		if len(b) == 0 || b[0] != krbAPP(10) && b[0] != krbAPP(12) { // neither AS-REQ nor TGS-REQ
			if err := w.Refused(); err != nil {
				return err
			}
		}
	}
}

// What Kerberos's messages are made of (RFC 4120, section 5), in DER.

func krbAPP(n byte) byte { return 0x60 | n }

func krbField(n byte, content []byte) []byte { return ber(0xa0|n, content) }

func krbInt(n int) []byte { return berInt(0x02, n) }

func krbString(s string) []byte { return ber(0x1b, []byte(s)) }

// krbService is the name of the service that grants tickets of a realm.
func krbService(realm string) []byte {
	return ber(0x30, krbField(0, krbInt(2)), krbField(1, ber(0x30, krbString("krbtgt"), krbString(realm))))
}

// krbASReq asks for a ticket of a client of realm to the service that grants
// those of another.
func krbASReq(realm, client, other string) []byte {
	body := ber(0x30,
		krbField(0, ber(0x03, make([]byte, 5))), // no options
		krbField(1, ber(0x30, krbField(0, krbInt(1)), krbField(1, ber(0x30, krbString(client))))),
		krbField(2, krbString(realm)),
		krbField(3, krbService(other)),
		krbField(5, ber(0x18, []byte("20370101000000Z"))),
		krbField(7, krbInt(1)),
		krbField(8, ber(0x30, krbInt(18), krbInt(17))))
	return ber(krbAPP(10), ber(0x30, krbField(1, krbInt(5)), krbField(2, krbInt(10)), krbField(4, body)))
}

// krbError builds the KRB-ERROR that answers a request, nil if that is none. It
// names the service that was asked for.
func krbError(w *starttls.Wire, code int, request []byte) []byte {
	realm := strings.ToUpper(w.ServerName())
	service := krbService(realm)
	if asked, ok := berInside(request, krbAPP(10), 0x30, 0xa4, 0x30, 0xa3); ok {
		service = asked
	}
	return ber(krbAPP(30), ber(0x30, krbField(0, krbInt(5)), krbField(1, krbInt(30)),
		krbField(4, ber(0x18, []byte(time.Now().UTC().Format("20060102150405Z")))), krbField(5, krbInt(0)),
		krbField(6, krbInt(code)), krbField(9, krbString(realm)), krbField(10, service)))
}

// krbErrorText says a KRB-ERROR in words, or nothing if b is none.
func krbErrorText(b []byte) string {
	e, _, err := berNext(b)
	if err != nil || e.tag != krbAPP(30) {
		return ""
	}
	inner, _, err := berNext(e.content)
	if err != nil {
		return ""
	}
	fields, err := berAll(inner.content)
	if err != nil {
		return ""
	}
	code, text := -1, ""
	for _, f := range fields {
		v, _, err := berNext(f.content)
		if err != nil {
			return ""
		}
		switch f.tag {
		case 0xa6:
			if code, err = v.int(); err != nil {
				return ""
			}
		case 0xab:
			text = " " + string(v.content)
		}
	}
	names := map[int]string{krbErrUnknown: "KDC_ERR_C_PRINCIPAL_UNKNOWN", krbErrPolicy: "KDC_ERR_POLICY", 25: "KDC_ERR_PREAUTH_REQUIRED", krbErrTooLong: "KRB_ERR_FIELD_TOOLONG", 68: "KDC_ERR_WRONG_REALM"}
	return or(names[code], fmt.Sprintf("error %d", code)) + text
}

// Injection asks for tickets for and to nobody: an error names the service, and
// mostly the client.
func (kerberos) Injection(serverName, marker string) starttls.Injection {
	ask := func(name string) []byte { return krbMessage(krbASReq(strings.ToUpper(serverName), name, name)) }
	return starttls.Injection{
		Probe:    ask(marker),
		Control:  ask(twin(marker)),
		Classify: classifyHolds(twin(marker), marker),
	}
}
