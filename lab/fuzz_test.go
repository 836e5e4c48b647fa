package lab

import "testing"

// Whatever a client sends for a ClientHello is taken apart without a panic, and
// so is whatever a server's consent is turned into.
func FuzzClientHello(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"))
	f.Add([]byte("220 2.0.0 Ready\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		anonymousSuite(b)
		for kind := oddOther; len(b) > 0 && kind <= oddEmpty; kind++ {
			oddly(b, kind)
		}
		Bait{Password: "0123456789"}.in(b)
	})
}
