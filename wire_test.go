package starttls_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
)

// fed gives a Wire over a connection on which the peer said just that.
func fed(t testing.TB, said string, cfg starttls.WireConfig) *starttls.Wire {
	t.Helper()
	a, b := net.Pipe()
	go func() {
		b.Write([]byte(said))
		b.Close()
	}()
	t.Cleanup(func() { a.Close(); b.Close() })
	return starttls.NewWire(context.Background(), a, cfg)
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 5000) // longer than the buffer, within the limit
	for _, c := range []struct{ said, line, err string }{
		{"a b\r\n", "a b", ""},
		{"bare\n", "bare", ""},
		{long + "\r\n", long, ""},
		{"x\x00y\r\n", "", "expected a line of text"},
		{"no end", "", "unexpected EOF"},
		{"", "", "EOF"},
		{strings.Repeat("y", 9000) + "\r\n", "", "limit of 8192 for line length"},
	} {
		line, err := fed(t, c.said, starttls.WireConfig{}).ReadLine()
		if line != c.line || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%.20q: got %.20q, %v; want %.20q, %s", c.said, line, err, c.line, c.err)
		}
	}
}

func TestPeekConsumesNothing(t *testing.T) {
	w := fed(t, "one\r\ntwo\r\nrest", starttls.WireConfig{})
	for range 2 {
		if l, err := w.PeekLine(); l != "one" || err != nil {
			t.Errorf("%q %v", l, err)
		}
	}
	w.ReadLine()
	if b, err := w.Peek(3); string(b) != "two" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if b, err := w.ReadN(5); string(b) != "two\r\n" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if b, err := io.ReadAll(w.Conn()); string(b) != "rest" || err != nil {
		t.Errorf("%q %v", b, err)
	}
}

func TestLimits(t *testing.T) {
	limits := starttls.Limits{Line: 10, Packet: 8, Lines: 3, Bytes: 4096, Errors: 1}
	var limit *starttls.LimitError
	w := fed(t, strings.Repeat("a\r\n", 10), starttls.WireConfig{Limits: limits})
	for i := range 4 {
		if _, err := w.ReadLine(); (i == 3) != errors.As(err, &limit) {
			t.Errorf("line %d: %v", i, err)
		}
	}
	if _, err := fed(t, strings.Repeat("a", 20), starttls.WireConfig{Limits: limits}).ReadN(9); !errors.As(err, &limit) {
		t.Errorf("packet: %v", err)
	}
	if _, err := fed(t, strings.Repeat("a", 20)+"\n", starttls.WireConfig{Limits: limits}).ReadLine(); !errors.As(err, &limit) {
		t.Errorf("line length: %v", err)
	}
	// Without its end in sight a line is given up at its limit, not at that of all bytes.
	if _, err := fed(t, strings.Repeat("a", 20), starttls.WireConfig{Limits: limits}).ReadLine(); !errors.As(err, &limit) || limit.Limit != 10 {
		t.Errorf("endless line: %v", err)
	}
	if w.Refused() != nil || !errors.As(w.Refused(), &limit) {
		t.Error("refusals are not counted")
	}
}

// An answer that was there before the question does not count (CVE-2026-42246).
func TestAskFindsEarlyAnswer(t *testing.T) {
	w := fed(t, "hello\r\nOK before you asked\r\n", starttls.WireConfig{})
	w.ReadLine()
	var injected *starttls.InjectedError
	if err := w.Ask([]byte("STARTTLS\r\n")); !errors.As(err, &injected) || !strings.Contains(string(injected.Bytes), "before you asked") {
		t.Errorf("%v", err)
	}
	if w.Asked() {
		t.Error("the request was written all the same")
	}
}

func TestOnAskMakesSegments(t *testing.T) {
	a, b := net.Pipe()
	w := starttls.NewWire(context.Background(), a, starttls.WireConfig{OnAsk: func(msg []byte) []starttls.Segment {
		return []starttls.Segment{{Data: msg[:2]}, {Data: msg[2:], Delay: time.Millisecond}, {}}
	}})
	go func() { w.Ask([]byte("STLS")); a.Close() }()
	var got []string
	buf := make([]byte, 16)
	for {
		n, err := b.Read(buf)
		if err != nil {
			break
		}
		got = append(got, string(buf[:n]))
	}
	if len(got) != 2 || got[0] != "ST" || got[1] != "LS" {
		t.Errorf("segments %q", got)
	}
}

func TestTranscriptEscapesAndRedacts(t *testing.T) {
	w := fed(t, "220 \x1b[31mred\r\n", starttls.WireConfig{})
	w.ReadLine()
	if s := w.Transcript().String(); s != "S: 220 \\x1b[31mred\n" {
		t.Errorf("%q", s)
	}
	w = fed(t, "PASS secret\r\n", starttls.WireConfig{Side: starttls.ServerSide})
	w.ReadLine()
	if s := w.Transcript().String(); s != "C: [13 bytes]\n" {
		t.Errorf("%q", s)
	}
	w = fed(t, "x\r\n", starttls.WireConfig{NoTranscript: true})
	w.ReadLine()
	if len(w.Transcript()) > 0 {
		t.Error("a transcript was kept")
	}
}

func FuzzWire(f *testing.F) {
	f.Add([]byte("one\r\ntwo\nthree"), byte(3))
	f.Add([]byte("\x30\x84\x00\x00\x00\x01a"), byte(0))
	f.Fuzz(func(t *testing.T, said []byte, how byte) {
		w := starttls.NewWire(context.Background(), &readOnly{r: bytes.NewReader(said)}, starttls.WireConfig{})
		var got []byte
		for i := 0; ; i++ {
			var err error
			switch (int(how) + i) % 3 {
			case 0:
				var b []byte
				b, err = w.ReadTo('\n')
				got = append(got, b...)
			case 1:
				var b []byte
				b, err = w.ReadN(1 + int(how)%7)
				got = append(got, b...)
			case 2:
				_, err = w.PeekLine()
				if err != nil {
					err = nil // a peek that fails consumes nothing
				}
			}
			if err != nil {
				break
			}
		}
		if !bytes.HasPrefix(said, got) {
			t.Errorf("read %q of %q", got, said)
		}
	})
}

type readOnly struct {
	net.Conn
	r io.Reader
}

func (c *readOnly) Read(b []byte) (int, error) { return c.r.Read(b) }

// What was looked at and not read is in an error's hands, mostly: it stays as it
// is when the Wire is gone and another reads.
func TestReleasedPeek(t *testing.T) {
	over := func(said string) *starttls.Wire {
		return starttls.NewWire(context.Background(), &readOnly{r: strings.NewReader(said)}, starttls.WireConfig{})
	}
	w := over("what is it")
	b, err := w.Peek(4)
	if err != nil {
		t.Fatal(err)
	}
	w.Release()
	for range 10 {
		other := over("another's")
		other.Peek(9)
	}
	if string(b) != "what" {
		t.Errorf("it became %q", b)
	}
}
