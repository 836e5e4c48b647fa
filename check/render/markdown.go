package render

import (
	"fmt"
	"io"
	"strings"

	"example.org/starttls/check"
)

// markdown writes a table of the targets, and the faults of each with their
// fixes: for an issue, or a wiki.
func markdown(w io.Writer, r check.Report, o Options) error {
	var b strings.Builder
	b.WriteString("| target | answer | level | eavesdropper | attacker |\n|---|---|---|---|---|\n")
	for _, res := range r.Results {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", inline(res.Target), inline(headline(res)), res.Level, safety(res, res.Against.Eavesdropper), safety(res, res.Against.Attacker))
	}
	for _, res := range r.Results {
		var items strings.Builder
		for _, f := range res.Findings {
			if f.Bad() {
				fmt.Fprintf(&items, "- **%s** %s (`%s`): %s\n  *Fix:* %s\n", f.Severity, inline(f.Title), f.ID, inline(f.Detail), inline(f.Fix))
			}
		}
		for _, c := range res.Changes {
			worse := ""
			if c.Worse {
				worse = "**worse** "
			}
			fmt.Fprintf(&items, "- since then: %s%s\n", worse, inline(c.String()))
		}
		if items.Len() > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n%s", inline(res.Target), items.String())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// inline makes the peer's words harmless in a line of Markdown.
func inline(s string) string {
	s = show(s)
	for _, c := range []string{`\`, "`", "*", "_", "[", "]", "<", ">", "|", "#"} {
		s = strings.ReplaceAll(s, c, `\`+c)
	}
	return s
}
