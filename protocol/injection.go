package protocol

import (
	"bytes"
	"hash/crc32"

	"example.org/starttls"
)

// What the injection tests of several protocols share.

// twin makes another marker of a marker, for the control command.
func twin(marker string) string {
	last := "A"
	if marker[len(marker)-1] == last[0] {
		last = "B"
	}
	return marker[:len(marker)-1] + last
}

// markerNumber makes a marker of 30 bits, an even one: the next number is its
// twin.
func markerNumber(marker string) uint32 {
	return crc32.ChecksumIEEE([]byte(marker)) & (1<<30 - 2)
}

// classifyHolds makes a Classify that knows a reply to the control command by
// the bytes control, and one to the probe by any of probe, wherever they stand.
func classifyHolds(control string, probe ...string) func([]byte) starttls.Reply {
	return func(said []byte) (r starttls.Reply) {
		r.Control = bytes.Contains(said, []byte(control))
		for _, p := range probe {
			r.Probe = r.Probe || bytes.Contains(said, []byte(p))
		}
		return r
	}
}

// classifyCodes makes a Classify that knows replies by their codes, each at the
// beginning of a whole line.
func classifyCodes(each func(code int) starttls.Reply) func([]byte) starttls.Reply {
	return func(said []byte) (r starttls.Reply) {
		for {
			line, rest, whole := bytes.Cut(said, []byte("\n"))
			if !whole {
				return r
			}
			if code, _, _, ok := splitCode(string(bytes.TrimSuffix(line, []byte("\r")))); ok {
				is := each(code)
				r.Probe, r.Control = r.Probe || is.Probe, r.Control || is.Control
			}
			said = rest
		}
	}
}
