package check

import (
	"fmt"
	"io"
	"testing"

	"example.org/starttls/internal/reflection"
	"example.org/starttls/protocol"
)

func TestHunks(t *testing.T) {
	for _, c := range []struct {
		sent, arrived []string
		want          string
	}{
		{[]string{"a", "b"}, []string{"a", "b"}, "[]"},
		{[]string{"a", "b", "c"}, []string{"a", "c"}, "[{[b] [] false}]"},
		{[]string{"a", "c"}, []string{"a", "b", "c"}, "[{[] [b] false}]"},
		{[]string{"a", "b", "c"}, []string{"a", "x", "c", "d"}, "[{[b] [x] false} {[] [d] true}]"},
		{[]string{"a", "b"}, nil, "[{[a b] [] true}]"},
		{nil, []string{"a"}, "[{[] [a] true}]"},
		{[]string{"a", "a", "b"}, []string{"a", "b", "b"}, "[{[a] [] false} {[] [b] true}]"},
	} {
		if got := fmt.Sprint(hunks(c.sent, c.arrived)); got != c.want {
			t.Errorf("%q %q: %s, want %s", c.sent, c.arrived, got, c.want)
		}
	}
}

// What the reflector itself ended is not held against the path, nor called
// unchanged.
func TestEndedByTheReflector(t *testing.T) {
	for closed, want := range map[bool]Verdict{true: Inconclusive, false: Vulnerable} {
		p := comparison{text: true, x: attempt{asked: true, offered: true, err: io.EOF},
			there: &reflection.Connection{Went: reflection.Stream{Clear: []byte("220 x\r\n500 no\r\n")}, Closed: closed}}
		p.x.came.Clear = []byte("220 x\r\n")
		r := newRun(Target{Protocol: protocol.SMTP}, Options{})
		r.Path = []Passage{p.compare()}
		r.takePath(p.changes)
		if r.Path[0].ToClient != changed || r.Findings[0].Verdict != want {
			t.Errorf("%v: %+v %+v", closed, r.Path, r.Findings)
		}
	}
}
