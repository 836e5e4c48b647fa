package starttls

import (
	"strconv"
	"strings"
	"time"
)

// Entry is one message of a transcript. Data is verbatim and untrusted, but for
// secrets, which stand as their length in brackets.
type Entry struct {
	Time time.Time
	From Side
	TLS  bool // it was said inside TLS
	Data []byte
}

// Transcript is what was said on the way to the resume point, oldest first.
// Its length is bounded; what came after that is left out.
type Transcript []Entry

const (
	transcriptEntries = 256
	transcriptData    = 2048
)

// String gives a line for each line said: "C: " or "S: " in cleartext, "C~ " or
// "S~ " inside TLS, with control characters escaped.
func (t Transcript) String() string {
	var b strings.Builder
	for _, e := range t {
		for _, l := range e.Lines() {
			b.WriteString(l)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Lines renders e as [Transcript.String] does, without the line ends.
func (e Entry) Lines() []string {
	mark := "C: "
	if e.From == ServerSide {
		mark = "S: "
	}
	if e.TLS {
		mark = mark[:1] + "~ "
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(e.Data), "\n"), "\r")
	var out []string
	for l := range strings.SplitSeq(text, "\n") {
		out = append(out, mark+Escape(strings.TrimSuffix(l, "\r")))
	}
	return out
}

// Escape renders untrusted text for a terminal or a log: printable text stays
// as it is, all else becomes a Go escape sequence.
func Escape(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// lengthOnly is how a message that may hold a secret is kept.
func lengthOnly(b []byte) []byte {
	return []byte("[" + strconv.Itoa(len(b)) + " bytes]")
}

// Redact sets how messages of the peer are kept in the transcript from now on.
// By default a client's messages are kept as their length, and a server's
// verbatim. A server's half sets one that keeps what it knows to be no secret.
func (w *Wire) Redact(f func(msg []byte) []byte) { w.redact = f }

func (w *Wire) note(from Side, b []byte) {
	if w.cfg.NoTranscript || len(w.transcript) >= transcriptEntries {
		return
	}
	if from == ClientSide && w.cfg.Side == ServerSide {
		if w.redact != nil {
			b = w.redact(b)
		} else {
			b = lengthOnly(b)
		}
	}
	b = b[:min(len(b), transcriptData)]
	if w.transcript == nil {
		room := new(struct { // for a usual dialogue, in one piece
			entries [6]Entry
			data    [256]byte
		})
		w.transcript, w.kept = room.entries[:0], room.data[:0]
	}
	start := len(w.kept)
	w.kept = append(w.kept, b...)
	w.transcript = append(w.transcript, Entry{time.Now().UTC(), from, w.cfg.TLS, w.kept[start:len(w.kept):len(w.kept)]})
}

// Transcript returns what was said so far.
func (w *Wire) Transcript() Transcript { return w.transcript }
