package protocol

import (
	"bytes"
	"slices"
	"testing"

	"example.org/starttls"
)

// A viewer sees as much as it asks for of two pixels, in its own format, and
// nothing where there is nothing.
func TestVNCScreen(t *testing.T) {
	rectangle := func(y, height byte, pixels int) string {
		return "\x00\x00\x00\x01\x00\x00\x00" + string(y) + "\x00\x01\x00" + string(height) + "\x00\x00\x00\x00" + string(make([]byte, pixels))
	}
	whole := []byte("\x03\x00\x00\x00\x00\x00\xff\xff\xff\xff")
	for name, c := range map[string]struct {
		said []byte
		want string
	}{
		"all of it":          {whole, rectangle(0, 2, 8)},
		"the second":         {[]byte("\x03\x00\x00\x00\x00\x01\x00\x01\x00\x02"), rectangle(1, 1, 4)},
		"beside it":          {[]byte("\x03\x00\x00\x01\x00\x00\x00\x01\x00\x01"), ""},
		"below it":           {[]byte("\x03\x00\x00\x00\xff\xff\x00\x01\xff\xff"), ""},
		"nothing":            {[]byte("\x03\x00\x00\x00\x00\x00\x00\x00\x00\x01"), ""},
		"what changed":       {[]byte("\x03\x01\x00\x00\x00\x00\x00\x01\x00\x01"), ""},
		"in one byte a dot":  {slices.Concat([]byte("\x00\x00\x00\x00\x08"), make([]byte, 15), whole), rectangle(0, 2, 2)},
		"after other things": {slices.Concat([]byte("\x02\x00\x00\x01\x00\x00\x00\x00"), []byte("\x04\x01\x00\x00\x00\x00\x00a"), []byte("\x05\x00\x00\x00\x00\x00"), whole), rectangle(0, 2, 8)},
	} {
		s := scripted(append([]byte{1}, c.said...))
		w := starttls.NewWire(t.Context(), s, starttls.WireConfig{Side: starttls.ServerSide, Upgraded: true})
		VNC.Serve(w, starttls.Hello{}, nil) // fails at the end of the script
		w.Release()
		_, got, ok := bytes.Cut(s.out.Bytes(), []byte("starttls"))
		if !ok || string(got) != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
