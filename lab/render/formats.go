package render

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"sync"

	"example.org/starttls"
	"example.org/starttls/internal/report"
	"example.org/starttls/lab"
	"example.org/starttls/lab/mta"
)

// Formats are those that Report takes.
var Formats = []string{"json", "junit", "sarif", "html"}

// Report writes a whole report in one of Formats; version is the tool's.
func Report(w io.Writer, r lab.Report, format, version string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	case "junit":
		_, out := cases(r)
		return report.JUnit(w, "starttls lab", out, func(c report.Case) bool { return c.Severity == "high" })
	case "sarif":
		rules, out := cases(r)
		return report.SARIF(w, "starttls lab", version, rules, out)
	case "html":
		return page().Execute(w, r)
	}
	return fmt.Errorf("format %q is not known", format)
}

// cases are the results as the machines' formats take them.
func cases(r lab.Report) (rules []report.Rule, out []report.Case) {
	outcomes := map[lab.Verdict]report.Outcome{lab.Vulnerable: report.Fail, lab.Warn: report.Fail, lab.Info: report.Note,
		lab.Inconclusive: report.Unknown, lab.Skipped: report.Skip}
	seen := map[string]bool{}
	for _, x := range r.Results {
		severity := "high"
		if x.Verdict != lab.Vulnerable {
			severity = "low"
		}
		out = append(out, report.Case{Subject: x.Protocol, Rule: x.Case, Outcome: outcomes[x.Verdict], Severity: severity,
			Title: x.Title, Detail: starttls.Escape(x.Detail), Evidence: x.Evidence})
		if r, ok := rule(x.Case); ok && !seen[x.Case] {
			seen[x.Case] = true
			rules = append(rules, r)
		}
	}
	return rules, out
}

// rule is a case as one.
func rule(id string) (report.Rule, bool) {
	if c, err := lab.Lookup(id); err == nil {
		return report.Rule{ID: c.ID, Title: c.Title, Why: "The server " + c.Does + ".", Severity: "high",
			Fix: "Have the client insist on TLS with a verified certificate, believe nothing that was said in clear, and close where it can not."}, true
	}
	c, err := mta.Lookup(id)
	return report.Rule{ID: c.ID, Title: c.Title, Why: "The domain " + c.Does + ".", Severity: "high",
		Fix: "Have the sender hold mail back where a policy of the domain is not met, and nowhere else."}, err == nil
}

// page is read when it is first needed: every command would wait for it at its
// start.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("lab").Funcs(template.FuncMap{"escape": starttls.Escape}).Parse(pageText))
})

const pageText = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>starttls lab</title>
<style>body{font:15px/1.4 sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}td,th{padding:.2em .7em;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}
.vulnerable{color:#b00;font-weight:bold}.warn,.info{color:#960}.ok{color:#080}.inconclusive,.skipped{color:#777}pre{margin:.3em 0;white-space:pre-wrap}</style>
<h1>starttls lab</h1>
<p>{{.Summary}}; expected: TLS {{.Expect}}.{{with .Client}} The client: <code>{{range .}}{{.}} {{end}}</code>{{end}}</p>
<table><tr><th>protocol<th>case<th>verdict<th>score<th>what happened</tr>
{{range .Results}}<tr><td>{{.Protocol}}<td>{{.Case}}<td class="{{.Verdict}}">{{.Verdict}}<td>{{.Score}}<td>{{.Title}}: {{escape .Detail}}
<details><summary>evidence</summary><pre>{{range .Evidence}}{{escape .}}
{{end}}</pre></details></tr>
{{end}}</table></html>
`
