// Package docs_test keeps what is generated in the documents in step with the
// code: go test ./docs -update prints it anew.
package docs_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"example.org/starttls"
	"example.org/starttls/internal/met"
	"example.org/starttls/protocol"
)

var update = flag.Bool("update", false, "print the generated parts anew")

func TestProtocolTableInReadme(t *testing.T) {
	const begin, end = "<!-- protocols: go test ./docs -update -->\n", "<!-- end of protocols -->"
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("README.md has lost the markers of its table of protocols")
	}
	want := protocolTable()
	if *update {
		if err := os.WriteFile("../README.md", []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != want {
		t.Errorf("README.md's table of protocols is out of step; run: go test ./docs -update\nwant:\n%s", want)
	}
}

func protocolTable() string {
	var b strings.Builder
	b.WriteString("| scheme | what it is | port | implicit TLS | client | server | probe | injection test | met | specification |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, p := range protocol.All() {
		i := p.Info()
		_, probe := p.(starttls.Prober)
		_, inject := p.(starttls.Injector)
		peers := strings.Join(met.Names(met.Of(i.Name)), ", ")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | yes | yes | %s | %s | %s | %s |\n",
			i.Name, i.Title, port(i.Port), port(i.ImplicitTLS), yes(probe), yes(inject), cmp.Or(peers, "itself only"), i.Reference)
	}
	return b.String()
}

func port(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}
