package tlswire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/iotest"
)

// fromBytes is a connection on which a peer said b and left.
type fromBytes struct {
	net.Conn
	r io.Reader
}

func (f fromBytes) Read(b []byte) (int, error) { return f.r.Read(b) }

func reader(b []byte) *Conn { return NewConn(fromBytes{r: bytes.NewReader(b)}) }

func TestReadMessage(t *testing.T) {
	hello := NewMessage(ServerHelloMessage, []byte("hello"))
	done := NewMessage(ServerHelloDone, nil)
	records := func(size int, messages ...[]byte) (out []byte) {
		for _, r := range Cut(HandshakeRecord, TLS12, bytes.Join(messages, nil), size) {
			out = r.Append(out)
		}
		return out
	}
	for name, b := range map[string][]byte{
		"two messages in one record": records(0, hello, done),
		"a record for each":          slices.Concat(records(0, hello), records(0, done)),
		"a byte in each":             records(1, hello, done),
	} {
		t.Run(name, func(t *testing.T) {
			c := NewConn(fromBytes{r: iotest.OneByteReader(bytes.NewReader(b))})
			for _, want := range [][]byte{hello, done} {
				m, err := c.ReadMessage()
				if err != nil || !bytes.Equal(m.Raw, want) || m.Type != MessageType(want[0]) || !bytes.Equal(m.Body, want[4:]) {
					t.Fatalf("%x, %v, want %x", m.Raw, err, want)
				}
			}
			if _, err := c.ReadMessage(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
			if !bytes.Equal(c.Received, b) {
				t.Errorf("kept %x of %x", c.Received, b)
			}
		})
	}
}

func TestReadWhatIsWrong(t *testing.T) {
	as := func(target any) func(error) bool { return func(err error) bool { return errors.As(err, target) } }
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	long := Record{HandshakeRecord, TLS12, []byte{2, 0xff, 0xff, 0xff}}.Append(nil)
	empty := bytes.Repeat(Record{HandshakeRecord, TLS12, nil}.Append(nil), maxRecords+1)
	for _, c := range []struct {
		name string
		sent []byte
		want func(error) bool
	}{
		{"cleartext", []byte("250 ok\r\n"), as(new(*CleartextError))},
		{"one byte of it", []byte("N"), as(new(*CleartextError))},
		{"a record of another kind of TLS", []byte{22, 254, 253, 0, 0}, as(new(*CleartextError))},
		{"a record too long", []byte{22, 3, 3, 0x48, 1}, as(new(*CleartextError))},
		{"an end in a record's header", []byte{22, 3}, is(io.ErrUnexpectedEOF)},
		{"an end in a record", []byte{22, 3, 3, 0, 5, 1}, is(io.ErrUnexpectedEOF)},
		{"nothing", nil, is(io.EOF)},
		{"an alert", []byte{21, 3, 3, 0, 2, 2, 40}, is(Alert{Fatal, HandshakeFailure})},
		{"an alert of one byte", []byte{21, 3, 3, 0, 1, 2}, IsMalformed},
		{"application data", []byte{23, 3, 3, 0, 1, 2}, as(new(*UnexpectedError))},
		{"a message too long", long, as(new(*LimitError))},
		{"empty records without end", empty, as(new(*LimitError))},
	} {
		if _, err := reader(c.sent).ReadMessage(); !c.want(err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestBytesAreBounded(t *testing.T) {
	c := reader(bytes.Repeat(Record{ApplicationData, TLS12, make([]byte, 1<<14)}.Append(nil), 200))
	var limit *LimitError
	for range 200 {
		if _, err := c.ReadRecord(); err != nil {
			if !errors.As(err, &limit) {
				t.Error(err)
			}
			break
		}
	}
	if limit == nil || len(c.Received) != maxKept {
		t.Errorf("no limit was met, or %d bytes were kept", len(c.Received))
	}
}

func TestChangeCipherSpecForShow(t *testing.T) {
	b := slices.Concat(Record{ChangeCipherSpecRecord, TLS12, []byte{1}}.Append(nil), Record{HandshakeRecord, TLS12, NewMessage(Finished, nil)}.Append(nil))
	var other *UnexpectedError
	if _, err := reader(b).ReadMessage(); !errors.As(err, &other) {
		t.Errorf("before TLS 1.3: %v", err)
	}
	c := reader(b)
	c.Version = TLS13
	if m, err := c.ReadMessage(); err != nil || m.Type != Finished {
		t.Errorf("in TLS 1.3: %v, %v", m, err)
	}
}

func TestReadSSL2WrongThings(t *testing.T) {
	var clear *CleartextError
	for _, b := range []string{"220 hello\r\n", "\x80\x05hello", "\xff\xfe\xfd"} {
		if _, err := reader([]byte(b)).ReadSSL2(); !errors.As(err, &clear) {
			t.Errorf("%q: %v", b, err)
		}
	}
	if _, err := reader([]byte{21, 3, 0, 0, 2, 2, 70}).ReadSSL2(); !errors.Is(err, Alert{Fatal, ProtocolVersion}) {
		t.Errorf("an alert of TLS: %v", err)
	}
	if _, err := reader([]byte{0x80, 9, 4}).ReadSSL2(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut short: %v", err)
	}
}
