package protocol

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"

	"example.org/starttls"
)

// RPC is ONC RPC over TCP, as NFS speaks it, with TLS by RFC 9289: a call of
// procedure 0 with the authentication flavour AUTH_TLS asks for it, and the word
// STARTTLS in the answer's verifier grants it. TLS is 1.3 at least, with the
// ALPN name sunrpc (section 5).
var RPC = register(rpc{})

type rpc struct{}

func (rpc) Info() starttls.Info {
	return starttls.Info{
		Name: "rpc", Aliases: []string{"nfs", "sunrpc"}, Port: 2049, Title: "ONC RPC, NFS", Reference: "RFC 9289", Binary: true, Unadvertised: true, Unordered: true,
		ALPN: []string{"sunrpc"}, ALPNUpgraded: true, ALPNRequired: true, MinVersion: tls.VersionTLS13,
	}
}

// Of ONC RPC (RFC 5531) and NFS version 4, whose procedure 0 everybody has.
const (
	rpcCall    = 0
	rpcReply   = 1
	rpcAuthTLS = 7
	rpcTooWeak = 5
	rpcProgram = 100003
	rpcVersion = 4
	rpcGranted = "STARTTLS"

	rpcLast = 1 << 31 // the mark of a record's last fragment
)

// rpcWords builds a record of 32-bit words and what follows them.
func rpcWords(rest string, words ...uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, rpcLast|uint32(4*len(words)+len(rest)))
	for _, word := range words {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	return append(b, rest...)
}

// readRPC reads a record of one fragment, which all are that come before TLS.
func readRPC(w *starttls.Wire) ([]byte, error) {
	head, err := w.Peek(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n&rpcLast == 0 || n&^uint32(rpcLast) > 4096 {
		bad, _ := w.ReadN(4)
		return nil, &starttls.ReplyError{Expected: "an RPC record", Reply: bad}
	}
	b, err := w.ReadN(4 + int(n&^uint32(rpcLast)))
	if err != nil {
		return nil, err
	}
	return b[4:], nil
}

// word is the i-th 32-bit word of b, or 0 behind its end.
func word(b []byte, i int) uint32 {
	if len(b) < 4*i+4 {
		return 0
	}
	return binary.BigEndian.Uint32(b[4*i:])
}

// call sends a call of procedure 0 with an empty credential and returns the
// answer's body, from its state on.
func (rpc) call(w *starttls.Wire, flavour uint32, send func([]byte) error) ([]byte, error) {
	xid := 0x73746c73 + flavour // TCP keeps calls of others apart: it need not be hard to guess
	if err := send(rpcWords("", xid, rpcCall, 2, rpcProgram, rpcVersion, 0, flavour, 0, 0, 0)); err != nil {
		return nil, err
	}
	b, err := readRPC(w)
	if err != nil {
		return nil, err
	}
	if len(b) < 12 || word(b, 0) != xid || word(b, 1) != rpcReply {
		return nil, &starttls.ReplyError{Expected: "the answer to the call", Reply: b}
	}
	return b[8:], nil
}

func (p rpc) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	if ask == starttls.NoAsk {
		return h, nil
	}
	b, err := p.call(w, rpcAuthTLS, w.Ask)
	if err != nil {
		return h, err
	}
	verifier := b[4:]
	switch {
	case word(b, 0) == 1: // denied
		return h, &starttls.RefusedError{Reply: b, Text: "the call was denied" + rpcDenial(b)}
	case word(b, 0) != 0 || len(verifier) < 8:
		return h, &starttls.ReplyError{Expected: "the answer to the call", Reply: b}
	case word(verifier, 0) != 0 || word(verifier, 1) != uint32(len(rpcGranted)) || !bytes.HasPrefix(verifier[8:], []byte(rpcGranted)):
		return h, &starttls.RefusedError{Reply: b, Text: "the call was answered without the word STARTTLS"}
	case len(verifier) < 20 || word(verifier, 4) != 0:
		return h, &starttls.ReplyError{Expected: "success", Reply: b}
	}
	h.Offered = true
	return h, nil
}

// rpcDenial says in words why a call was denied (RFC 5531, section 9).
func rpcDenial(b []byte) string {
	if word(b, 1) != 1 {
		return ": versions of RPC do not match"
	}
	names := map[uint32]string{1: "AUTH_BADCRED", 2: "AUTH_REJECTEDCRED", 3: "AUTH_BADVERF", 4: "AUTH_REJECTEDVERF", rpcTooWeak: "AUTH_TOOWEAK"}
	return ": " + or(names[word(b, 2)], fmt.Sprintf("authentication error %d", word(b, 2)))
}

// Probe calls procedure 0 without a credential.
func (p rpc) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	b, err := p.call(w, 0, func(msg []byte) error {
		_, err := w.Write(msg)
		return err
	})
	if err == nil && word(b, 0) == 1 {
		h.Caps = []string{"error: the call was denied" + rpcDenial(b)}
	}
	return h, err
}

// Server answers a call that asks for TLS, and denies any other as too weak
// (RFC 9289, section 4.1).
func (p rpc) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	if offer.Mode == starttls.NoOffer {
		return out, nil
	}
	const flavour = 1 + 6 // behind the record's mark
	for {
		head, err := w.Peek(4 * (flavour + 1))
		if err != nil {
			return out, err
		}
		if word(head, 2) != rpcCall || word(head, 3) != 2 {
			bad, _ := w.ReadN(len(head))
			return out, &starttls.ReplyError{Expected: "an RPC call", Reply: bad}
		}
		request := word(head, flavour) == rpcAuthTLS
		if !request && (offer.Mode == starttls.Hide || offer.Mode == starttls.Optional) {
			return out, nil
		}
		call, err := readRPC(w)
		if err != nil {
			return out, err
		}
		xid := word(call, 0)
		reply := rpcWords("", xid, rpcReply, 1, 1, rpcTooWeak)
		switch {
		case request && (offer.Mode == starttls.Grant || offer.Mode == starttls.Optional):
			grant := offer.Reply
			if len(grant) == 0 {
				grant = rpcGrant(xid)
			}
			out.TLS = true
			return out, w.GoAhead(grant)
		case request: // one that does not know the flavour calls the credential bad
			reply = rpcWords("", xid, rpcReply, 1, 1, 1)
		}
		if _, err := w.Write(reply); err != nil {
			return out, err
		}
		if err := w.Refused(); err != nil {
			return out, err
		}
	}
}

func rpcGrant(xid uint32) []byte {
	return rpcWords(rpcGranted+"\x00\x00\x00\x00", xid, rpcReply, 0, 0, uint32(len(rpcGranted)))
}

// Serve answers procedure 0 of any program, and knows no other.
func (p rpc) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	for {
		b, err := readRPC(w)
		if err != nil {
			return err
		}
		if len(b) < 40 || word(b, 1) != rpcCall {
			return &starttls.ReplyError{Expected: "an RPC call", Reply: b[:min(len(b), 24)]}
		}
		state := uint32(0)
		if word(b, 5) != 0 {
			state = 3 // PROC_UNAVAIL
			sink.Tell(starttls.Leak{What: "metadata"})
			if err := w.Refused(); err != nil {
				return err
			}
		}
		if _, err := w.Write(rpcWords("", word(b, 0), rpcReply, 0, 0, 0, state)); err != nil {
			return err
		}
	}
}

// Injection: a reply carries its call's number.
func (rpc) Injection(_, marker string) starttls.Injection {
	xid := 1<<31 | markerNumber(marker) // and so none of those above
	call := func(xid uint32) []byte {
		return rpcWords("", xid, rpcCall, 2, rpcProgram, rpcVersion, 0, 0, 0, 0, 0)
	}
	reply := func(xid uint32) string { return string(rpcWords("", xid, rpcReply)[4:]) }
	return starttls.Injection{
		Probe:    call(xid),
		Control:  call(xid + 1),
		Classify: classifyHolds(reply(xid+1), reply(xid)),
	}
}
