package render

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"example.org/starttls/check"
)

//go:embed report.html
var page string

// weight is how many faults there are of each severity, the worst first.
func weight(r check.Result) string {
	var counts []string
	for _, s := range []check.Severity{check.High, check.Medium, check.Low} {
		n := 0
		for _, f := range r.Findings {
			if f.Bad() && f.Severity == s {
				n++
			}
		}
		if n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return cmp.Or(strings.Join(counts, ", "), "none")
}

// safety is whom a target is safe from, as far as it could be told about: no
// conclusion is drawn from a server that did not answer.
func safety(r check.Result, said string) string {
	if r.Verdict == "failed" {
		return "not known"
	}
	return said
}

// html writes one self-contained page: no script, no picture, nothing to load.
func html(w io.Writer, r check.Report, o Options) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"headline": headline, "show": show, "tally": tally, "safety": safety, "weight": weight,
		"join": func(s []string) string { return strings.Join(s, ", ") },
		"class": func(r check.Result) string {
			return []string{"good", "doubtful", "bad", "unknown"}[state(r, o.failOn())]
		},
		"unchanged": func(r check.Result) bool { return r.Changes != nil && len(r.Changes) == 0 },
		"faults": func(r check.Result) (out []check.Finding) {
			for _, f := range r.Findings {
				if f.Verdict != check.Passed && f.Verdict != check.Skipped {
					out = append(out, f)
				}
			}
			return out
		},
	}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}
