package lab

import (
	"slices"
	"strings"
	"testing"

	"example.org/starttls"
)

// The catalogue has all the generic moves, no case twice, and for each protocol
// and case either the case or a reason.
func TestCatalogue(t *testing.T) {
	var numbers []int
	ids := map[string]bool{}
	for _, c := range Catalogue() {
		if ids[c.ID] || c.Title == "" || c.Does == "" || strings.HasSuffix(c.Does, ".") {
			t.Errorf("%s: twice, or without words", c.ID)
		}
		ids[c.ID] = true
		numbers = append(numbers, c.Number)
		has := 0
		for _, p := range Protocols() {
			switch got, why := c.of(p, "127.0.0.2:1"); {
			case why != "":
			case len(got.lies) == 0:
				t.Errorf("%s %s: neither a lie nor a reason", p.Info().Name, c.ID)
			default:
				has++
			}
		}
		if has == 0 && c.ID != "dns" {
			t.Errorf("%s: no protocol has it", c.ID)
		}
	}
	for n := 1; n <= 42; n++ {
		if !slices.Contains(numbers, n) {
			t.Errorf("the generic move %d is missing", n)
		}
	}
}

// Each move of a protocol has its words in the catalogue.
func TestMovesHaveWords(t *testing.T) {
	for _, p := range Protocols() {
		m, ok := p.(starttls.Mover)
		if !ok {
			continue
		}
		seen := map[string]bool{}
		for _, move := range m.Moves("127.0.0.2:1") {
			if _, err := Lookup(move.ID); err != nil || seen[move.ID] {
				t.Errorf("%s %s: %v; twice: %v", p.Info().Name, move.ID, err, seen[move.ID])
			}
			seen[move.ID] = true
		}
	}
}

// A client that takes an anonymous key exchange is caught: the ClientHello and
// the ClientKeyExchange are all that the lab looks at.
func TestAnonymousSuite(t *testing.T) {
	hello := func(suites string) []byte {
		return append(append([]byte{0x16, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3}, make([]byte, 33)...), suites...)
	}
	for _, c := range []struct {
		record []byte
		want   uint16
	}{
		{hello("\x00\x02\xc0\x18"), 0xc018},
		{hello("\x00\x04\x13\x01\x00\x34"), 0x0034},
		{hello("\x00\x02\x13\x01"), 0},
		{hello("\xff\xff\x13"), 0},
		{[]byte("\x16\x03\x01"), 0},
	} {
		if got := anonymousSuite(c.record); got != c.want {
			t.Errorf("%x: %x", c.record, got)
		}
	}
}

func TestBait(t *testing.T) {
	b := Bait{"me", "bait-0123456789abcdef"}
	for text, want := range map[string]bool{
		"PASS bait-0123456789abcdef":                      true,
		"AUTH PLAIN AG1lAGJhaXQtMDEyMzQ1Njc4OWFiY2RlZg==": true, // NUL me NUL
		"AUTH PLAIN AG1lMgBiYWl0LTAxMjM0NTY3ODlhYmNkZWY=": true, // NUL me2 NUL
		"AUTH PLAIN AG1lMjIAYmFpdC0wMTIzNDU2Nzg5YWJjZGVm": true, // NUL me22 NUL
		"PASS bait-0123": false,
	} {
		if b.in([]byte(text)) != want {
			t.Errorf("%q", text)
		}
	}
}
