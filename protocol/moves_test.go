package protocol

import (
	"testing"

	"example.org/starttls"
)

// What a client says to a move is never too odd for it.
func FuzzMoves(f *testing.F) {
	f.Add([]byte("a1 STARTTLS\r\n"), []byte("a1 OK\r\n"))
	f.Add([]byte("\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"), []byte("S"))
	f.Add([]byte("\x80\x00\x00\x28\x00\x00\x00\x01"), []byte{})
	f.Fuzz(func(t *testing.T, heard, said []byte) {
		for _, p := range All() {
			m, ok := p.(starttls.Mover)
			if !ok {
				continue
			}
			for _, move := range m.Moves("127.0.0.2:25") {
				if move.GoAhead != nil {
					move.GoAhead(heard, said)
				}
				if move.Reply != nil {
					move.Reply(false, heard, said)
					move.Reply(true, heard, said)
				}
			}
		}
	})
}

func TestNextTag(t *testing.T) {
	for tag, want := range map[string]string{"a1": "a2", "A009": "A010", "9": "10", "x": "x", "": "", "T99": "T100"} {
		if got := nextTag(tag); got != want {
			t.Errorf("%q: %q, want %q", tag, got, want)
		}
	}
}
