package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra/doc"
)

var (
	update = flag.Bool("update", false, "print docs/ anew")
	man    = flag.String("man", "", "write the man pages into this directory, a path from the root")
)

// The page of each command in docs/ is its help text, as its man page is.
func TestPageOfEachCommand(t *testing.T) {
	root := newRoot(&app{strings.NewReader(""), io.Discard, io.Discard})
	root.DisableAutoGenTag = true
	for _, c := range root.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" || c.Name() == "version" {
			continue
		}
		c.InheritedFlags() // makes --help part of it, as running it does
		var b bytes.Buffer
		c.DisableAutoGenTag = true
		if err := doc.GenMarkdownCustom(c, &b, func(s string) string { return "../README.md" }); err != nil {
			t.Fatal(err)
		}
		page, _, _ := strings.Cut(b.String(), "### SEE ALSO")
		page = strings.Replace(page, "## starttls "+c.Name(), "# starttls "+c.Name(), 1)
		page = strings.TrimSpace(page) + "\n"
		file := filepath.Join("..", "..", "docs", c.Name()+".md")
		if *update {
			if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(file)
		if err != nil || string(have) != page {
			t.Errorf("%s is out of step (%v); run: go test ./cmd/starttls -update", file, err)
		}
	}
}

// The man pages are written here, and not by the command, which would be slower
// to start for what is done once: make man.
func TestManPages(t *testing.T) {
	dir := *man
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRoot(&app{strings.NewReader(""), io.Discard, io.Discard})
	if err := doc.GenManTree(root, &doc.GenManHeader{Title: "STARTTLS", Section: "1"}, dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "starttls-check.1"))
	if err != nil || !bytes.Contains(b, []byte("fail-on")) {
		t.Errorf("no man page of check: %v", err)
	}
}
