package protocol

import (
	"fmt"
	"slices"

	"example.org/starttls"
)

// Telnet is upgraded by its option START_TLS (46), as draft-altman-telnet-
// starttls has it and C-Kermit does: the server says DO, the client WILL, then
// each that TLS FOLLOWS. All other options are left for inside TLS, where they
// begin anew.
var Telnet = register(telnet{})

type telnet struct{}

func (telnet) Info() starttls.Info {
	return starttls.Info{
		Name: "telnet", Port: 23, ImplicitTLS: 992, Title: "Telnet, terminals", Reference: "draft-altman-telnet-starttls-02", Binary: true, ServerFirst: true,
	}
}

// Commands (RFC 854) and options.
const (
	telnetSE   = 240
	telnetSB   = 250
	telnetWill = 251
	telnetWont = 252
	telnetDo   = 253
	telnetDont = 254
	telnetIAC  = 255

	telnetTimingMark = 6 // RFC 860: every side answers a request for it
	telnetStartTLS   = 46
	telnetFollows    = "\xff\xfa\x2e\x01\xff\xf0"
)

func telnetSay(command, option byte) []byte { return []byte{telnetIAC, command, option} }

// telnetEvent is a command of the other side, or a byte of text.
type telnetEvent struct {
	command, option byte   // 0: text
	data            []byte // of a subnegotiation; the byte of a text
}

// readTelnet reads the next command or byte of text.
func readTelnet(w *starttls.Wire) (e telnetEvent, err error) {
	b, err := w.ReadN(1)
	if err != nil || b[0] != telnetIAC {
		e.data = b
		return e, err
	}
	if b, err = w.ReadN(1); err != nil {
		return e, err
	}
	switch e.command = b[0]; {
	case e.command == telnetIAC: // a doubled byte is text
		return telnetEvent{data: b}, nil
	case e.command < telnetSB || e.command > telnetDont:
		return e, nil
	}
	if b, err = w.ReadN(1); err != nil {
		return e, err
	}
	e.option = b[0]
	for e.command == telnetSB {
		if b, err = w.ReadN(1); err != nil {
			return e, err
		}
		if e.data = append(e.data, b[0]); len(e.data) >= 2 && e.data[len(e.data)-2] == telnetIAC && b[0] == telnetSE {
			e.data = e.data[:len(e.data)-2]
			break
		}
	}
	return e, nil
}

// name says a command in words.
func (e telnetEvent) name() string {
	names := map[byte]string{telnetWill: "WILL", telnetWont: "WONT", telnetDo: "DO", telnetDont: "DONT", telnetSB: "SB"}
	option := fmt.Sprint(e.option)
	if e.option == telnetStartTLS {
		option = "START_TLS"
	}
	return or(names[e.command], fmt.Sprint(e.command)) + " " + option
}

func (e telnetEvent) is(command byte) bool {
	return e.command == command && e.option == telnetStartTLS
}

// Client waits for DO START_TLS, and says WILL by itself once the server has
// said something else: one that knows the option answers with DO, any other
// with DONT (RFC 854).
func (p telnet) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	proposed := false
	for !h.Offered {
		e, err := readTelnet(w)
		switch {
		case err != nil:
			return h, err
		case e.command == 0:
			h.Greeting = append(h.Greeting, e.data...)
		case e.is(telnetDo):
			h.Offered = true
		case e.is(telnetDont) && proposed:
			return h, starttls.ErrNotOffered
		}
		if e.command != 0 {
			h.Caps = appendNew(h.Caps, e.name())
		}
		if !h.Offered && !proposed {
			proposed = true
			if _, err := w.Write(telnetSay(telnetWill, telnetStartTLS)); err != nil {
				return h, err
			}
		}
	}
	request := []byte(telnetFollows)
	if !proposed {
		request = append(telnetSay(telnetWill, telnetStartTLS), request...)
	}
	if err := p.ask(w, request, &h); err != nil {
		return h, err
	}
	for {
		e, err := readTelnet(w)
		switch {
		case err != nil:
			return h, err
		case e.is(telnetSB) && string(e.data) == "\x01":
			return h, nil
		case e.is(telnetDont), e.is(telnetWont):
			return h, &starttls.RefusedError{Reply: telnetSay(e.command, e.option), Text: e.name()}
		}
	}
}

// ask writes the request. Servers offer their options in one segment: those
// behind DO START_TLS are no answer to it, and are read first.
func (telnet) ask(w *starttls.Wire, request []byte, h *starttls.Hello) error {
	for len(w.Ahead()) > 0 {
		e, err := readTelnet(w)
		if err != nil {
			return err
		}
		if e.is(telnetSB) {
			return &starttls.InjectedError{From: starttls.ServerSide, Bytes: append(telnetSay(telnetSB, telnetStartTLS), e.data...)}
		}
		if e.command != 0 {
			h.Caps = appendNew(h.Caps, e.name())
		}
	}
	return w.Ask(request)
}

// Probe asks for a timing mark, which every side answers, and notes what options
// the server begins with.
func (telnet) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	if _, err := w.Write(telnetSay(telnetDo, telnetTimingMark)); err != nil {
		return h, err
	}
	for {
		e, err := readTelnet(w)
		if err != nil {
			return h, err
		}
		if e.option == telnetTimingMark && (e.command == telnetWill || e.command == telnetWont) {
			return h, nil
		}
		if e.is(telnetDo) {
			h.Offered = true
		}
		if e.command != 0 {
			h.Caps = appendNew(h.Caps, e.name())
		}
	}
}

func (p telnet) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	if offers(offer) {
		option := byte(telnetStartTLS)
		if offer.Keyword != "" { // masked: an option that nobody knows
			option = 'X'
		}
		if _, err := w.Write(telnetSay(telnetDo, option)); err != nil {
			return out, err
		}
	}
	may := offer.Mode == starttls.Grant || offer.Mode == starttls.Optional
	for {
		head, err := w.Peek(1)
		if err != nil {
			return out, err
		}
		if head[0] != telnetIAC { // text: a session
			if offer.Mode == starttls.Hide || offer.Mode == starttls.Optional {
				return out, nil
			}
			_, err := w.Write([]byte("TLS is required: nothing is accepted in clear\r\n"))
			return out, cmpErr(err, starttls.ErrNotUpgraded)
		}
		e, err := readTelnet(w)
		if err != nil {
			return out, err
		}
		reply := telnetDeny(e)
		switch {
		case e.is(telnetWill) && may:
			reply = nil
			if offer.Keyword != "" {
				reply = telnetSay(telnetDo, telnetStartTLS)
			}
		case e.is(telnetSB) && string(e.data) == "\x01" && may:
			out.TLS = true
			return out, w.GoAhead([]byte(override(offer, telnetFollows)))
		case e.is(telnetWont) && offer.Mode != starttls.Optional && offer.Mode != starttls.Hide:
			return out, starttls.ErrNotUpgraded
		}
		if _, err := w.Write(reply); err != nil {
			return out, err
		}
		if err := w.Refused(); err != nil {
			return out, err
		}
	}
}

// telnetDeny is the answer of one that knows no option.
func telnetDeny(e telnetEvent) []byte {
	switch e.command {
	case telnetDo:
		return telnetSay(telnetWont, e.option)
	case telnetWill:
		return telnetSay(telnetDont, e.option)
	}
	return nil
}

// Serve asks for a name and a password.
func (telnet) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	var lines [][]byte
	var line []byte
	for _, prompt := range []string{"login: ", "Password: "} {
		if _, err := w.Write([]byte(prompt)); err != nil {
			return err
		}
		for {
			e, err := readTelnet(w)
			if err != nil {
				return err
			}
			if reply := telnetDeny(e); reply != nil {
				if _, err := w.Write(reply); err != nil {
					return err
				}
			}
			if e.command != 0 {
				continue
			}
			if e.data[0] == '\r' || e.data[0] == '\n' {
				if len(line) > 0 {
					break
				}
				continue
			}
			line = append(line, e.data...)
		}
		lines, line = append(lines, slices.Clone(line)), nil
	}
	sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "LOGIN", User: string(lines[0]), Secret: lines[1]})
	_, err := w.Write([]byte("\r\nWelcome.\r\n"))
	return err
}

// Injection asks for options that nobody has (50 to 137 are unassigned), which
// are refused by number (RFC 854).
func (telnet) Injection(_, marker string) starttls.Injection {
	option := 50 + byte(markerNumber(marker)%80)
	return starttls.Injection{
		Probe:    telnetSay(telnetDo, option),
		Control:  telnetSay(telnetDo, option+1),
		Classify: classifyHolds(string(telnetSay(telnetWont, option+1)), string(telnetSay(telnetWont, option))),
	}
}
