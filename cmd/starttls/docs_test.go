package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var (
	update = flag.Bool("update", false, "print docs/ anew")
	man    = flag.String("man", "", "write the man pages into this directory, a path from the root")
)

// The page of each command in docs/ is its help text, as its man page is.
func TestPageOfEachCommand(t *testing.T) {
	root := newRoot(&app{strings.NewReader(""), io.Discard, io.Discard}, subcommands)
	root.DisableAutoGenTag = true
	for _, c := range root.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" || c.Name() == "version" {
			continue
		}
		page := pageOf(t, c, "# starttls "+c.Name())
		for _, sub := range c.Commands() {
			if sub.Name() != "help" {
				page += "\n" + pageOf(t, sub, "## starttls "+c.Name()+" "+sub.Name())
			}
		}
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

// pageOf is the help text of one command under a title.
func pageOf(t *testing.T, c *cobra.Command, title string) string {
	c.InheritedFlags() // makes --help part of it, as running it does
	c.DisableAutoGenTag = true
	var b bytes.Buffer
	if err := doc.GenMarkdownCustom(c, &b, func(s string) string { return "../README.md" }); err != nil {
		t.Fatal(err)
	}
	page, _, _ := strings.Cut(b.String(), "### SEE ALSO")
	_, page, _ = strings.Cut(page, "\n")
	return title + "\n" + strings.TrimRight(page, "\n") + "\n"
}

// The man pages are written here, and not by the command, which would be slower
// to start for what is done once: make man.
func TestManPages(t *testing.T) {
	dir := *man
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRoot(&app{strings.NewReader(""), io.Discard, io.Discard}, subcommands)
	if err := doc.GenManTree(root, &doc.GenManHeader{Title: "STARTTLS", Section: "1"}, dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "starttls-check.1"))
	if err != nil || !bytes.Contains(b, []byte("fail-on")) {
		t.Errorf("no man page of check: %v", err)
	}
}
