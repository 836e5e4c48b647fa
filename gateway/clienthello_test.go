package gateway

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"example.org/starttls"
)

// helloBytes is crypto/tls's ClientHello, with its record.
func helloBytes(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	go func() { tls.Client(near, cfg).Handshake(); near.Close() }()
	defer far.Close()
	head := make([]byte, 5)
	_, err := io.ReadFull(far, head)
	must(t, err)
	body := make([]byte, int(head[3])<<8|int(head[4]))
	_, err = io.ReadFull(far, body)
	must(t, err)
	return append(head, body...)
}

// split gives the same message in records of n bytes.
func split(hello []byte, n int) (out []byte) {
	for rest := hello[5:]; len(rest) > 0; {
		k := min(n, len(rest))
		out = append(append(out, 0x16, 3, 1, byte(k>>8), byte(k)), rest[:k]...)
		rest = rest[k:]
	}
	return out
}

func TestReadHello(t *testing.T) {
	whole := helloBytes(t, &tls.Config{ServerName: testName, InsecureSkipVerify: true})
	old := helloBytes(t, &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true})
	for name, x := range map[string]struct {
		in   []byte
		want hello
	}{
		"TLS 1.3":         {whole, hello{testName, tls.VersionTLS13}},
		"TLS 1.2, no SNI": {old, hello{"", tls.VersionTLS12}},
		"in pieces":       {split(whole, 3), hello{testName, tls.VersionTLS13}},
	} {
		r := bytes.NewReader(append(bytes.Clone(x.in), "more"...))
		if got, err := readHello(r); err != nil || got != x.want || r.Len() != len("more") {
			t.Errorf("%s: %+v, %v, %d left", name, got, err, r.Len())
		}
	}
	cut := func(at int, b byte) []byte {
		out := bytes.Clone(whole)
		out[at] = b
		return out
	}
	for name, in := range map[string][]byte{
		"a ServerHello":          cut(5, 2),
		"longer than we go":      cut(6, 1),
		"more than it":           cut(8, whole[8]-1),
		"a record too long":      cut(3, 0x41),
		"no list of suites":      cut(5+4+34, 33),
		"an empty record":        {0x16, 3, 1, 0, 0},
		"cut":                    whole[:100],
		"an alert":               {0x15, 3, 1, 0, 2, 1, 0},
		"SSL 2":                  {0x80, 0x2e, 1, 0, 2},
		"another major version":  {0x16, 4, 1, 0, 2},
		"cleartext of one byte":  []byte("\n"),
		"cleartext":              []byte("NOOP\r\n"),
		"nothing":                {},
		"records of a byte each": bytes.Repeat([]byte{0x16, 3, 1, 0, 1, 1}, mostHello),
	} {
		if _, err := readHello(bytes.NewReader(in)); err == nil {
			t.Errorf("%s is taken for a ClientHello", name)
		}
	}
	var clear *starttls.CleartextError
	if _, err := readHello(strings.NewReader("NOOP\r\n")); !errors.As(err, &clear) || string(clear.Bytes) != "NOOP\r" {
		t.Errorf("%v", err)
	}
	if v, err := highestVersion([]byte{6, 0x3a, 0x3a, 3, 3, 3, 4}); v != tls.VersionTLS13 || err != nil {
		t.Errorf("%x, %v", v, err)
	}
	if got := (hello{version: 0x7777}).versionName(); got != "unknown" {
		t.Error(got)
	}
}

// What is taken for a ClientHello is bounded, and nothing behind it is read.
func FuzzReadHello(f *testing.F) {
	f.Add(helloBytes(f, &tls.Config{ServerName: testName, InsecureSkipVerify: true}))
	f.Add(split(helloBytes(f, &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true}), 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, err := readHello(r)
		if err != nil {
			return
		}
		taken := b[:len(b)-r.Len()]
		if len(taken) > mostHello+5*mostHello {
			t.Errorf("%d bytes are one ClientHello", len(taken))
		}
		again, err := readHello(bytes.NewReader(taken))
		if err != nil || again != h {
			t.Errorf("%+v, then %+v, %v", h, again, err)
		}
		if h.versionName() == "" {
			t.Error("a version without a name")
		}
	})
}
