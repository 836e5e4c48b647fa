package protocol

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"example.org/starttls"
)

// BEEP is the framework under syslog, IDXP and others (RFC 3080, over TCP by RFC
// 3081). Both sides greet with the profiles they have; starting a channel with
// the profile of TLS asks for it (RFC 3080, section 3.1). All channels end by
// that, and both greet again. There is no usual port.
var BEEP = register(beep{})

type beep struct{}

func (beep) Info() starttls.Info {
	return starttls.Info{
		Name: "beep", Title: "BEEP, under syslog and others", Reference: "RFC 3080", ServerFirst: true, SpeaksAfterTLS: true,
	}
}

const (
	beepTLS    = "http://iana.org/beep/TLS"
	beepSASL   = "http://iana.org/beep/SASL/"
	beepWindow = 4096 // bytes that a channel may carry until more are asked for (RFC 3081, section 3.1.4), which nobody here does
)

// beepMessage is a message of channel zero, the only one there is before and
// while another is started.
type beepMessage struct {
	kind   string // MSG, RPY or ERR
	number int
	xmlElement
	raw []byte
}

// beepFrame builds a message of one frame. said is how many bytes the channel
// has carried in this direction.
func beepFrame(kind string, number, said int, payload string) string {
	return fmt.Sprintf("%s 0 %d . %d %d\r\n%sEND\r\n", kind, number, said, len(payload), payload)
}

// beepXML is a payload of XML.
func beepXML(text string) string { return "Content-Type: application/beep+xml\r\n\r\n" + text + "\r\n" }

func beepProfile(uri, content string) string {
	if content == "" {
		return "<profile uri='" + escapeXML(uri) + "' />"
	}
	return "<profile uri='" + escapeXML(uri) + "'><![CDATA[" + content + "]]></profile>"
}

func beepError(code, text string) string { return "<error code='" + code + "'>" + text + "</error>" }

// peekBEEP returns the next frame without consuming it: its header, its payload
// and all of it. A SEQ frame is a header alone (RFC 3081, section 3.1.3).
func peekBEEP(w *starttls.Wire) (header []string, payload, frame []byte, err error) {
	line, err := w.PeekLine()
	if err != nil {
		return nil, nil, nil, err
	}
	malformed := func(n int) error {
		bad, err := w.ReadN(n)
		return cmpErr(err, &starttls.ReplyError{Expected: "a BEEP frame", Reply: bad})
	}
	header, head := strings.Split(line, " "), len(line)+len("\r\n")
	n, end := uint64(0), ""
	if header[0] != "SEQ" || len(header) != 4 {
		const channel, more, size = 1, 3, 5
		if !slices.Contains([]string{"MSG", "RPY", "ERR"}, header[0]) || len(header) != 6 || header[channel] != "0" || header[more] != "." && header[more] != "*" {
			return nil, nil, nil, malformed(len(line) + 1)
		}
		if n, err = strconv.ParseUint(header[size], 10, 31); err != nil {
			return nil, nil, nil, malformed(len(line) + 1)
		}
		end = "END\r\n"
	}
	if n > beepWindow {
		return nil, nil, nil, &starttls.LimitError{What: "bytes of a BEEP frame", Limit: beepWindow}
	}
	if frame, err = w.Peek(head + int(n) + len(end)); err != nil {
		return nil, nil, nil, err
	}
	if !bytes.HasSuffix(frame[:head], []byte("\r\n")) || !bytes.HasSuffix(frame, []byte(end)) {
		return nil, nil, nil, malformed(len(frame))
	}
	return header, frame[head : head+int(n)], frame, nil
}

// readBEEP reads a message, of as many frames as it has.
func readBEEP(w *starttls.Wire) (m beepMessage, err error) {
	var payload []byte
	for {
		header, part, frame, err := peekBEEP(w)
		if err != nil {
			return m, err
		}
		payload, m.raw = append(payload, part...), append(m.raw, frame...)
		if _, err := w.ReadN(len(frame)); err != nil {
			return m, err
		}
		if header[0] == "SEQ" {
			continue
		}
		number, err := strconv.ParseUint(header[2], 10, 31)
		if err != nil || m.kind != "" && (m.kind != header[0] || m.number != int(number)) {
			return m, &starttls.ReplyError{Expected: "a BEEP frame", Reply: m.raw}
		}
		if m.kind, m.number = header[0], int(number); len(payload) > beepWindow {
			return m, &starttls.LimitError{What: "bytes of a BEEP message", Limit: beepWindow}
		}
		if header[3] == "." {
			m.xmlElement = parseBEEP(payload)
			return m, nil
		}
	}
}

// parseBEEP reads the XML behind the entity headers of a payload; what is none
// has no name.
func parseBEEP(payload []byte) (e xmlElement) {
	text, bare := bytes.CutPrefix(payload, []byte("\r\n"))
	if !bare {
		_, text, _ = bytes.Cut(payload, []byte("\r\n\r\n"))
	}
	if xml.Unmarshal(text, &e) != nil {
		return xmlElement{}
	}
	return e
}

// content is the XML that a profile in the message carries.
func (m beepMessage) content(uri string) (e xmlElement) {
	profiles := append(m.Children, m.xmlElement)
	i := slices.IndexFunc(profiles, func(p xmlElement) bool { return p.is("", "profile") && p.attr("uri") == uri })
	if i < 0 || xml.Unmarshal([]byte(profiles[i].Text), &e) != nil {
		return xmlElement{}
	}
	return e
}

// beepRefused makes an error of an error element. 4xx is temporary (RFC 3080,
// section 8).
func (m beepMessage) refused(e xmlElement) error {
	code := e.attr("code")
	return &starttls.RefusedError{Reply: m.raw, Text: code + " " + strings.TrimSpace(e.Text), Temporary: strings.HasPrefix(code, "4")}
}

func (p beep) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	m, err := readBEEP(w)
	h.Greeting = m.raw
	switch {
	case err != nil:
		return h, err
	case m.kind == "ERR":
		return h, m.refused(m.xmlElement)
	case m.kind != "RPY" || !m.is("", "greeting"):
		return h, &starttls.ReplyError{Expected: "a greeting", Reply: m.raw}
	}
	for _, profile := range m.Children {
		uri := profile.attr("uri")
		h.Caps = append(h.Caps, uri)
		if mechanism, ok := strings.CutPrefix(uri, beepSASL); ok {
			h.Auth = append(h.Auth, mechanism)
		}
	}
	h.Offered = slices.Contains(h.Caps, beepTLS)
	if ask == starttls.NoAsk {
		return h, nil
	}
	if !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	return h, p.askTLS(w)
}

// askTLS greets and asks in one, for between the request and its answer nothing
// may be said (section 3.1.3.1).
func (beep) askTLS(w *starttls.Wire) error {
	start := "<start number='1' serverName='" + escapeXML(w.ServerName()) + "'>" + beepProfile(beepTLS, "<ready />") + "</start>"
	if err := w.Ask([]byte(beepOpening(1, start))); err != nil {
		return err
	}
	m, err := readBEEP(w)
	if err != nil {
		return err
	}
	answer := m.content(beepTLS)
	switch {
	case m.number != 1 || m.kind == "MSG":
	case m.kind == "ERR":
		return m.refused(m.xmlElement)
	case answer.is("", "proceed"):
		return nil
	case answer.is("", "error"):
		return m.refused(answer)
	}
	return &starttls.ReplyError{Expected: "leave to proceed", Reply: m.raw}
}

// beepOpening is a client's greeting and its first message.
func beepOpening(number int, request string) string {
	greeting := beepXML("<greeting />")
	return beepFrame("RPY", 0, 0, greeting) + beepFrame("MSG", number, len(greeting), beepXML(request))
}

// Probe greets and starts a channel with a profile that nobody has.
func (beep) Probe(w *starttls.Wire) (starttls.Hello, error) {
	request := "<start number='1'>" + beepProfile("http://example.org/starttls-probe", "") + "</start>"
	if _, err := w.Write([]byte(beepOpening(1, request))); err != nil {
		return starttls.Hello{}, err
	}
	m, err := readBEEP(w)
	if err == nil && (m.kind == "MSG" || m.number != 1) {
		err = &starttls.ReplyError{Expected: "an answer to the start of a channel", Reply: m.raw}
	}
	return starttls.Hello{}, err
}

// Injection: an answer has the number of its message.
func (beep) Injection(_, marker string) starttls.Injection {
	n := 1<<30 | int(markerNumber(marker))                                // 2^31-1 at most
	number := func(n int) string { return " 0 " + strconv.Itoa(n) + " " } // behind RPY or ERR, and the channel
	start := "<start number='1'>" + beepProfile("http://example.org/starttls-probe", "") + "</start>"
	return starttls.Injection{
		Probe:    []byte(beepOpening(n, start)),
		Control:  []byte(beepOpening(n+1, start)),
		Classify: classifyHolds(number(n+1), number(n)),
	}
}
