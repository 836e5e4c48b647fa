package render

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html/template"
	"io"
	"strings"

	"example.org/starttls"
	"example.org/starttls/lab"
)

// Formats are those that Report takes.
var Formats = []string{"json", "junit", "sarif", "html"}

// Report writes a whole report in one of Formats.
func Report(w io.Writer, r lab.Report, format string) error {
	switch format {
	case "json":
		return indented(w, r)
	case "junit":
		return junit(w, r)
	case "sarif":
		return sarif(w, r)
	case "html":
		return page.Execute(w, r)
	}
	return fmt.Errorf("format %q is not known", format)
}

func indented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// The elements of JUnit's form, as far as its readers agree on them.
type (
	testSuites struct {
		XMLName xml.Name    `xml:"testsuites"`
		Suites  []testSuite `xml:"testsuite"`
	}
	testSuite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Cases    []testCase `xml:"testcase"`
	}
	testCase struct {
		Class   string  `xml:"classname,attr"`
		Name    string  `xml:"name,attr"`
		Time    string  `xml:"time,attr"`
		Failure *remark `xml:"failure"`
		Skipped *remark `xml:"skipped"`
		Output  string  `xml:"system-out,omitempty"`
	}
	remark struct {
		Message string `xml:"message,attr"`
	}
)

func junit(w io.Writer, r lab.Report) error {
	var out testSuites
	for _, x := range r.Results {
		if n := len(out.Suites); n == 0 || out.Suites[n-1].Name != x.Protocol {
			out.Suites = append(out.Suites, testSuite{Name: x.Protocol})
		}
		s := &out.Suites[len(out.Suites)-1]
		c := testCase{Class: "starttls.lab." + x.Protocol, Name: x.Case, Time: fmt.Sprintf("%.3f", float64(x.Millis)/1000), Output: evidence(x)}
		switch x.Verdict {
		case lab.Vulnerable:
			c.Failure = &remark{starttls.Escape(x.Detail)}
			s.Failures++
		case lab.Inconclusive, lab.Skipped:
			c.Skipped = &remark{starttls.Escape(x.Detail)}
			s.Skipped++
		}
		s.Tests++
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func evidence(x lab.Result) string { return strings.Join(x.Evidence, "\n") }

// sarif writes SARIF 2.1.0 (OASIS): a rule for each case, a result for each that
// did not go well.
func sarif(w io.Writer, r lab.Report) error {
	type object = map[string]any
	rules, results := []object{}, []object{}
	seen := map[string]bool{}
	levels := map[lab.Verdict]string{lab.Vulnerable: "error", lab.Warn: "warning", lab.Info: "note"}
	for _, x := range r.Results {
		if !seen[x.Case] {
			seen[x.Case] = true
			c, err := lab.Lookup(x.Case)
			if err != nil {
				return err
			}
			rules = append(rules, object{"id": x.Case, "shortDescription": object{"text": c.Title}, "fullDescription": object{"text": "The server " + c.Does + "."}})
		}
		if level := levels[x.Verdict]; level != "" {
			results = append(results, object{"ruleId": x.Case, "level": level,
				"message":    object{"text": x.Protocol + ": the client " + starttls.Escape(x.Detail)},
				"locations":  []object{{"logicalLocations": []object{{"name": x.Protocol, "kind": "module"}}}},
				"properties": object{"score": x.Score, "evidence": x.Evidence}})
		}
	}
	return indented(w, object{"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
		"runs": []object{{"tool": object{"driver": object{"name": "starttls lab", "rules": rules}}, "results": results}}})
}

var page = template.Must(template.New("lab").Funcs(template.FuncMap{"escape": starttls.Escape}).Parse(`<!doctype html>
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
`))
