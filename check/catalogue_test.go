package check

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "print docs/findings.md anew")

func TestFindingsPage(t *testing.T) {
	const file = "../docs/findings.md"
	var b bytes.Buffer
	b.WriteString("# The findings of `starttls check`\n\nPrinted from the catalogue in check/; `go test ./check -update` prints it anew. An id never changes its meaning. *Access* is a port where clients sign in or ask; *relay* one between servers, where a sender without TLS goes on in cleartext anyway, unless a policy forbids it; *public* one whose content anyone may read, and whose secure form has a port of its own. A test that finds less than its title says (the command is answered, but in clear, before TLS) gives a finding of the same id that says so, of the severity low.\n")
	for _, e := range catalogue {
		fmt.Fprintf(&b, "\n## %s\n\n%s. Severity: access %s, relay %s, public %s.\n\n%s\n\n*Fix:* %s\n", e.id, e.title, e.severity[0], e.severity[1], e.severity[2], e.why, e.fix)
		for i, r := range e.refs {
			sep := "\n*References:* "
			if i > 0 {
				sep = ", "
			}
			b.WriteString(sep + r)
		}
		if len(e.refs) > 0 {
			b.WriteString("\n")
		}
	}
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is out of step (%v); run: go test ./check -update", file, err)
	}
}

func TestCatalogueIDsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range catalogue {
		if seen[e.id] {
			t.Errorf("%s stands twice", e.id)
		}
		seen[e.id] = true
	}
}
