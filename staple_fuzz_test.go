package starttls

import "testing"

// What a server presents is taken apart without a panic, whatever it is.
func FuzzStaple(f *testing.F) {
	f.Add([]byte("\x30\x03\x0a\x01\x00"))
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, r := range stapled(der) {
			if r.ID.Serial == nil {
				t.Error("a response about no certificate")
			}
		}
	})
}
