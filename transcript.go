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
