package protocol

import (
	"encoding/binary"

	"example.org/starttls"
)

// NBD is the Network Block Device, whose option NBD_OPT_STARTTLS upgrades the
// fixed newstyle negotiation. Nothing is advertised: whether there is TLS shows
// when it is asked for. Behind TLS the negotiation goes on where it stood: the
// client's flags, which come before its first option, are not said again.
var NBD = register(nbd{})

type nbd struct{}

func (nbd) Info() starttls.Info {
	return starttls.Info{
		Name: "nbd", Port: 10809, Title: "NBD, block devices", Reference: "NBD protocol, STARTTLS", ServerFirst: true, Binary: true, Unadvertised: true,
		Greeting: nbdGreeting,
	}
}

const (
	nbdMagic      = "IHAVEOPT"
	nbdReply      = "\x00\x03\xe8\x89\x04\x55\x65\xa9"
	nbdGreeting   = "NBDMAGIC" + nbdMagic + "\x00\x03" // fixed newstyle, no zeroes
	nbdFlags      = "\x00\x00\x00\x03"
	nbdMostOption = 8192 // bytes of an option's data
)

// Options, and types of replies.
const (
	nbdExportName = 1
	nbdAbort      = 2
	nbdList       = 3
	nbdStartTLS   = 5

	nbdAck        = 1
	nbdServer     = 2
	nbdErrUnsup   = 1<<31 + 1
	nbdErrPolicy  = 1<<31 + 2
	nbdErrInvalid = 1<<31 + 3
	nbdErrTLSReqd = 1<<31 + 5
)

func nbdOption(option uint32) []byte {
	return append(binary.BigEndian.AppendUint32([]byte(nbdMagic), option), 0, 0, 0, 0)
}

func nbdAnswer(option, kind uint32, data string) []byte {
	b := binary.BigEndian.AppendUint32([]byte(nbdReply), option)
	b = binary.BigEndian.AppendUint32(b, kind)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
}

// readNBDAnswer reads a reply to option.
func readNBDAnswer(w *starttls.Wire, option uint32) (kind uint32, data, raw []byte, err error) {
	if raw, err = w.ReadN(20); err != nil {
		return 0, nil, nil, err
	}
	n := binary.BigEndian.Uint32(raw[16:])
	if string(raw[:8]) != nbdReply || binary.BigEndian.Uint32(raw[8:]) != option || n > nbdMostOption {
		return 0, nil, nil, &starttls.ReplyError{Expected: "a reply to the option", Reply: raw}
	}
	data, err = w.ReadN(int(n))
	return binary.BigEndian.Uint32(raw[12:]), data, append(raw, data...), err
}

func (nbd) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	var err error
	if h.Greeting, err = w.ReadN(len(nbdGreeting)); err != nil {
		return h, err
	}
	if string(h.Greeting[:16]) != nbdGreeting[:16] || h.Greeting[17]&1 == 0 {
		return h, &starttls.ReplyError{Expected: "the fixed newstyle negotiation", Reply: h.Greeting}
	}
	if ask == starttls.NoAsk {
		return h, nil
	}
	if _, err := w.Write([]byte(nbdFlags[:3] + string([]byte{h.Greeting[17] & 3}))); err != nil {
		return h, err
	}
	if err := w.Ask(nbdOption(nbdStartTLS)); err != nil {
		return h, err
	}
	kind, data, raw, err := readNBDAnswer(w, nbdStartTLS)
	if err != nil {
		return h, err
	}
	if kind != nbdAck {
		return h, &starttls.RefusedError{Reply: raw, Text: string(data)}
	}
	h.Offered = true
	return h, nil
}

// Probe lists the exports, as Caps.
func (nbd) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	ask := nbdOption(nbdList)
	if !w.Upgraded() {
		ask = append([]byte(nbdFlags), ask...)
	}
	if _, err := w.Write(ask); err != nil {
		return h, err
	}
	for {
		kind, data, raw, err := readNBDAnswer(w, nbdList)
		switch {
		case err != nil:
			return h, err
		case kind == nbdServer && len(data) >= 4:
			n := min(int(binary.BigEndian.Uint32(data)), len(data)-4)
			h.Caps = append(h.Caps, "export "+string(data[4:4+n]))
		case kind == nbdAck, kind == nbdErrPolicy, kind == nbdErrUnsup: // exports are nobody's business
			return h, nil
		default:
			return h, &starttls.RefusedError{Reply: raw, Text: string(data)}
		}
	}
}

func (p nbd) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	w.Redact(func(msg []byte) []byte { return msg }) // options hold no secret
	greeting := h.Greeting
	if greeting == nil {
		greeting = []byte(nbdGreeting)
	}
	if _, err := w.Write(greeting); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	flags := len(nbdFlags)
	for {
		head, err := w.Peek(flags + 16)
		if err != nil {
			return out, err
		}
		option := binary.BigEndian.Uint32(head[flags+8:])
		if string(head[flags:flags+8]) != nbdMagic {
			return out, &starttls.ReplyError{Expected: "an option", Reply: head}
		}
		if option != nbdStartTLS && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional) {
			return out, nil
		}
		said, err := w.ReadN(flags)
		if err != nil {
			return out, err
		}
		if flags > 0 { // they are not said again inside TLS
			out.Replay = []byte(nbdFlags[:3] + string([]byte{said[3] & 3}))
		}
		flags = 0
		option, n, err := readNBDOption(w)
		if err != nil {
			return out, err
		}
		if tls, err := p.clear(w, offer, option, n); tls || err != nil {
			out.TLS = tls
			return out, err
		}
	}
}

// readNBDOption reads an option and tells the length of its data, which is
// read over.
func readNBDOption(w *starttls.Wire) (option uint32, n int, err error) {
	head, err := w.ReadN(16)
	if err != nil {
		return 0, 0, err
	}
	length := binary.BigEndian.Uint32(head[12:])
	if string(head[:8]) != nbdMagic || length > nbdMostOption {
		return 0, 0, &starttls.ReplyError{Expected: "an option", Reply: head}
	}
	_, err = w.ReadN(int(length))
	return binary.BigEndian.Uint32(head[8:]), int(length), err
}

// clear answers one option before TLS. It reports whether TLS is next.
func (nbd) clear(w *starttls.Wire, offer starttls.Offer, option uint32, n int) (bool, error) {
	kind := uint32(nbdErrTLSReqd)
	switch {
	case option == nbdExportName: // has no answer but the export or the end
		return false, starttls.ErrNotUpgraded
	case option == nbdAbort:
		w.Write(nbdAnswer(option, nbdAck, ""))
		return false, starttls.ErrNotUpgraded
	case option == nbdStartTLS && n > 0:
		kind = nbdErrInvalid
	case option == nbdStartTLS && offer.Mode == starttls.Hide:
		kind = nbdErrUnsup
	case option == nbdStartTLS && offer.Mode == starttls.Decline:
		kind = nbdErrPolicy
	case option == nbdStartTLS && len(offer.Reply) > 0:
		return true, w.GoAhead(offer.Reply)
	case option == nbdStartTLS:
		return true, w.GoAhead(nbdAnswer(option, nbdAck, ""))
	}
	if _, err := w.Write(nbdAnswer(option, kind, "")); err != nil {
		return false, err
	}
	return false, w.Refused()
}

// Serve negotiates a session with one export, which can not be had.
func (nbd) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	if head, err := w.Peek(8); err != nil {
		return err
	} else if string(head) != nbdMagic { // no TLS was negotiated: the flags are still to come
		if _, err := w.ReadN(len(nbdFlags)); err != nil {
			return err
		}
	}
	for {
		option, _, err := readNBDOption(w)
		if err != nil {
			return err
		}
		reply := nbdAnswer(option, nbdErrUnsup, "")
		switch option {
		case nbdAbort:
			_, err := w.Write(nbdAnswer(option, nbdAck, ""))
			return err
		case nbdExportName:
			sink.Tell(starttls.Leak{What: "metadata"})
			return nil
		case nbdList:
			reply = append(nbdAnswer(option, nbdServer, "\x00\x00\x00\x04demo"), nbdAnswer(option, nbdAck, "")...)
		case nbdStartTLS:
			reply = nbdAnswer(option, nbdErrInvalid, "")
			fallthrough
		default:
			if err := w.Refused(); err != nil {
				return err
			}
		}
		if _, err := w.Write(reply); err != nil {
			return err
		}
	}
}

// Injection: a reply names its option.
func (nbd) Injection(_, _ string) starttls.Injection {
	reply := func(option uint32) string { return string(nbdAnswer(option, 0, "")[:12]) }
	return starttls.Injection{
		Probe:    nbdOption(nbdList),
		Control:  nbdOption(nbdAbort),
		Classify: classifyHolds(reply(nbdAbort), reply(nbdList)),
	}
}
