package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mutant whose place has gone breaks nothing and so proves nothing.
func TestEveryMutantHasItsPlace(t *testing.T) {
	for _, m := range mutants {
		source, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.old); n != 1 {
			t.Errorf("%s: %s holds it %d times, want once:\n%s", m.what, m.file, n, m.old)
		}
	}
}

// docs/rules.md prints what the command found, so every mutant is in it.
func TestEveryMutantIsInTheTable(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		if row := "| " + m.rule + " | " + m.what + " | `"; !strings.Contains(string(page), row) {
			t.Errorf("docs/rules.md has no row %q: run go run ./internal/mutants", row)
		}
	}
}
