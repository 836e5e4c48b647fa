package protocol

import (
	"encoding/binary"
	"fmt"

	"example.org/starttls"
)

// Tests are those of NBD's protocol, section "TLS support".
func (p nbd) Tests() []starttls.Test {
	return []starttls.Test{p.notRequired(), nbdTwice(), nbdData()}
}

// nbdAsk says an option with data and reads the answer to it, past what comes in
// several parts.
func nbdAsk(w *starttls.Wire, flags string, option uint32, data string) (kind uint32, parts []string, err error) {
	msg := binary.BigEndian.AppendUint32(append([]byte(flags), nbdMagic...), option)
	msg = append(binary.BigEndian.AppendUint32(msg, uint32(len(data))), data...)
	if _, err := w.Write(msg); err != nil {
		return 0, nil, err
	}
	for {
		kind, data, _, err := readNBDAnswer(w, option)
		if err != nil || kind != nbdServer && kind != nbdInfoReply {
			return kind, parts, err
		}
		parts = append(parts, string(data))
	}
}

// notRequired asks in clear for the exports, and about the first of them. A
// server may list in clear what it gives inside TLS alone (SELECTIVETLS).
func (p nbd) notRequired() starttls.Test {
	return starttls.Test{ID: "tls-not-required", Level: 2, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		kind, exports, err := nbdAsk(w, nbdFlags, nbdList, "")
		if err != nil {
			return starttls.Verdict{}, err
		}
		name := ""
		if len(exports) > 0 && len(exports[0]) > 4 {
			name = exports[0][4:]
		}
		if kind != nbdErrTLSReqd {
			if kind, _, err = nbdAsk(w, "", nbdInfo, string(binary.BigEndian.AppendUint32(nil, uint32(len(name))))+name+"\x00\x00"); err != nil {
				return starttls.Verdict{}, err
			}
		}
		switch kind {
		case nbdErrTLSReqd:
			return sound("without TLS, the server says that it is required")
		case nbdAck:
			return fault("the export %q is to be had in clear", name)
		}
		return untold(fmt.Sprintf("%#x", kind))
	}}
}

func nbdTwice() starttls.Test {
	return starttls.Test{ID: "starttls-twice", Level: 2, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		kind, _, err := nbdAsk(w, "", nbdStartTLS, "")
		return grantedInside(w, kind == nbdAck, fmt.Sprintf("%#x", kind), err)
	}}
}

// nbdData asks for TLS with data, which is to be absent.
func nbdData() starttls.Test {
	return starttls.Test{ID: "starttls-args", Level: 2, Full: true, Clear: true, Run: func(w *starttls.Wire) (starttls.Verdict, error) {
		kind, _, err := nbdAsk(w, nbdFlags, nbdStartTLS, "data")
		switch {
		case err != nil:
			return starttls.Verdict{}, err
		case kind == nbdAck:
			return fault("NBD_OPT_STARTTLS with data is granted")
		}
		return sound("NBD_OPT_STARTTLS with data is refused: %#x", kind)
	}}
}

const (
	nbdInfo      = 6 // NBD_OPT_INFO
	nbdInfoReply = 3 // NBD_REP_INFO
)
