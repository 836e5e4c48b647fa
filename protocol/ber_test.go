package protocol

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"example.org/starttls"
)

// eachSplit gives f a wire whose peer says in and leaves: in one segment, and
// byte by byte.
func eachSplit(side starttls.Side, in string, f func(w *starttls.Wire, s *script, how string)) {
	s := scripted([]byte(in))
	f(wireTo(s, side), s, "one segment")
	s = scripted([]byte(in))
	f(starttls.NewWire(context.Background(), &slow{s}, starttls.WireConfig{Side: side}), s, "byte by byte")
}

func TestReadBER(t *testing.T) {
	for _, c := range []struct{ in, content string }{
		{"\x30\x00", ""},
		{"\x30\x02ab", "ab"},
		{"\x30\x81\x02ab", "ab"},
		{"\x30\x82\x00\x02ab", "ab"},
		{"\x30\x84\x00\x00\x00\x02ab", "ab"},
		{"\x30\x81\xc8" + strings.Repeat("x", 200), strings.Repeat("x", 200)},
		{"\x30\x82\x13\x88" + strings.Repeat("x", 5000), strings.Repeat("x", 5000)}, // more than a Wire looks ahead
	} {
		eachSplit(starttls.ClientSide, c.in+"rest", func(w *starttls.Wire, _ *script, how string) {
			e, raw, err := readBER(w)
			rest, _ := io.ReadAll(w.Conn())
			if err != nil || e.tag != 0x30 || string(e.content) != c.content || string(raw) != c.in || string(rest) != "rest" {
				t.Errorf("%.20x %s: %+v, %q left, %v", c.in, how, e, rest, err)
			}
		})
	}
}

func TestReadBERBad(t *testing.T) {
	for _, c := range []struct {
		name, in string
		is       func(error) bool
	}{
		{"indefinite length", "\x30\x80\x02\x01\x01\x00\x00", isReplyError},
		{"high tag", "\x3f\x81\x01\x00", isReplyError},
		{"five bytes of length", "\x30\x85\x00\x00\x00\x00\x01x", isReplyError},
		{"reserved length", "\x30\xff\x00", isReplyError},
		{"4 GiB", "\x30\x84\xff\xff\xff\xff", isReplyError},
		{"2 GiB", "\x30\x84\x80\x00\x00\x00", isReplyError},
		{"past the wire's limit", "\x30\x83\x01\x00\x01", isLimitError},
		{"cut in the length", "\x30\x84\x00\x00", isEOF},
		{"cut in the content", "\x30\x05ab", isEOF},
	} {
		eachSplit(starttls.ClientSide, c.in, func(w *starttls.Wire, _ *script, how string) {
			if _, _, err := readBER(w); !c.is(err) {
				t.Errorf("%s, %s: %v", c.name, how, err)
			}
		})
	}
}

func isReplyError(err error) bool { return errors.As(err, new(*starttls.ReplyError)) }
func isLimitError(err error) bool { return errors.As(err, new(*starttls.LimitError)) }
func isEOF(err error) bool        { return errors.Is(err, io.ErrUnexpectedEOF) }

func TestBERNumbers(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 255, 256, 32767, 32768, 1<<31 - 1} {
		e, rest, err := berNext(berInt(ldapInteger, n))
		if err != nil || len(rest) > 0 {
			t.Fatalf("%d: %v", n, err)
		}
		if got, err := e.int(); got != n || err != nil {
			t.Errorf("%d became %d: %v", n, got, err)
		}
	}
	for _, content := range []string{"", "12345"} {
		if n, err := (berElement{ldapInteger, []byte(content)}).int(); err == nil {
			t.Errorf("%q is taken for %d", content, n)
		}
	}
}

// FuzzReadBER holds that the reader consumes an element and not a byte more,
// and gives what it read.
func FuzzReadBER(f *testing.F) {
	for _, s := range []string{"\x30\x00", "\x30\x84\x00\x00\x00\x02ab", "\x30\x80\x00\x00", "\x30\x84\xff\xff\xff\xff", "\x1f", "\x30\x81\x80"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		w := wireTo(scripted(in), starttls.ClientSide)
		e, raw, err := readBER(w)
		if err != nil {
			w.Release()
			return
		}
		rest, _ := io.ReadAll(w.Conn())
		if !bytes.HasSuffix(raw, e.content) || !bytes.Equal(append(raw, rest...), in) {
			t.Errorf("%x became %x and %x", in, raw, rest)
		}
	})
}

// FuzzBER feeds the reader of LDAP's messages.
func FuzzBER(f *testing.F) {
	f.Add([]byte{0x30, 0x84, 0, 0, 0, 3, 2, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := berNext(b)
		if err == nil && len(e.content)+len(rest) > len(b) {
			t.Errorf("%d bytes became %d", len(b), len(e.content)+len(rest))
		}
		if err == nil {
			if again, _, err := berNext(ber(e.tag, e.content)); err != nil || !bytes.Equal(again.content, e.content) {
				t.Errorf("%x does not survive a round trip: %v", e.content, err)
			}
		}
	})
}
