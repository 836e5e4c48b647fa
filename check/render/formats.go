package render

import (
	"encoding/json"
	"fmt"
	"io"

	"example.org/starttls/check"
	"example.org/starttls/internal/report"
)

// Options says how a report is printed.
type Options struct {
	Color   bool           // text alone
	FailOn  check.Severity // the least severity that counts as a failure; "": medium
	Version string         // of the program, for SARIF
}

func (o Options) failOn() check.Severity {
	if o.FailOn == "" {
		return check.Medium
	}
	return o.FailOn
}

// format is a name and what prints a report so.
type format struct {
	name  string
	write func(io.Writer, check.Report, Options) error
}

var formats = []format{
	{"text", Text},
	{"json", JSON},
	{"jsonl", jsonLines},
	{"sarif", sarif},
	{"junit", junit},
	{"nagios", nagios},
	{"prometheus", prometheus},
	{"html", html},
	{"markdown", markdown},
}

// Formats are the names that Write knows.
func Formats() (names []string) {
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Write prints the report in the format of that name. All of them are made of
// the same record.
func Write(w io.Writer, name string, r check.Report, o Options) error {
	for _, f := range formats {
		if f.name == name {
			return f.write(w, r, o)
		}
	}
	return fmt.Errorf("no format is called %q", name)
}

// JSON writes the report as one object, indented.
func JSON(w io.Writer, r check.Report, _ Options) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// jsonLines writes each result as a report of its own, on a line.
func jsonLines(w io.Writer, r check.Report, _ Options) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, res := range r.Results {
		if err := e.Encode(check.Report{Schema: r.Schema, Made: r.Made, Results: []check.Result{res}}); err != nil {
			return err
		}
	}
	return nil
}

func sarif(w io.Writer, r check.Report, o Options) error {
	var rules []report.Rule
	for _, e := range check.Catalogue() {
		rules = append(rules, report.Rule{ID: e.ID, Title: e.Title, Why: e.Why, Fix: e.Fix, Severity: string(e.Worst())})
	}
	rules = append(rules, report.Rule{ID: couldNotTell, Title: "The target could not be told about", Why: "It did not answer, or not as the protocol has it.", Fix: "Look at the error's stage."})
	rules = append(rules, report.Rule{ID: gotWorse, Title: "The upgrade is worse than in the saved result", Why: "It was compared with one by --compare.", Fix: "Look at what has changed, and whose change it was.", Severity: string(check.High)})
	return report.SARIF(w, "starttls check", o.Version, rules, cases(r))
}

func junit(w io.Writer, r check.Report, o Options) error {
	return report.JUnit(w, "starttls check", cases(r), func(c report.Case) bool { return check.Severity(c.Severity).AtLeast(o.failOn()) })
}

// The rules of a target that nothing can be said of, and of one that is worse
// than it was.
const (
	couldNotTell = "could-not-tell"
	gotWorse     = "got-worse"
)

// cases are the findings, the targets that could not be told about, and what got
// worse.
func cases(r check.Report) (out []report.Case) {
	outcomes := map[check.Verdict]report.Outcome{
		check.Vulnerable: report.Fail, check.Warn: report.Fail, check.Noted: report.Note, check.Passed: report.Pass,
		check.Inconclusive: report.Unknown, check.Skipped: report.Skip,
	}
	for _, res := range r.Results {
		if res.Verdict == "failed" {
			c := report.Case{Subject: res.Target, Rule: couldNotTell, Outcome: report.Unknown, Title: string(res.Outcome)}
			if res.Error != nil {
				c.Detail = res.Error.Message
			}
			out = append(out, c)
		}
		for _, f := range res.Findings {
			c := report.Case{Subject: res.Target, Rule: f.ID, Outcome: outcomes[f.Verdict], Severity: string(f.Severity), Title: f.Title, Detail: f.Detail}
			for _, l := range f.Evidence {
				c.Evidence = append(c.Evidence, show(l))
			}
			c.Detail = show(c.Detail)
			out = append(out, c)
		}
		if res.GotWorse() {
			c := report.Case{Subject: res.Target, Rule: gotWorse, Outcome: report.Fail, Severity: string(check.High), Title: "The upgrade got worse"}
			for _, change := range res.Changes {
				c.Evidence = append(c.Evidence, show(change.String()))
			}
			out = append(out, c)
		}
	}
	return out
}
