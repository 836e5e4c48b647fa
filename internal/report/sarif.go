package report

import (
	"io"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
)

// level says a severity in SARIF's words (SARIF 2.1.0, section 3.27.10).
func level(severity string) string {
	switch severity {
	case "high":
		return "error"
	case "medium", "low":
		return "warning"
	}
	return "note"
}

// SARIF writes the cases as a SARIF 2.1.0 log, those that passed or were
// skipped left out.
func SARIF(w io.Writer, tool, version string, rules []Rule, cases []Case) error {
	driver := sarif.NewToolComponent().WithName(tool).WithVersion(version)
	run := sarif.NewRun().WithTool(sarif.NewTool().WithDriver(driver))
	for _, r := range rules {
		run.AddRule(r.ID).WithShortDescription(sarif.NewMultiformatMessageString().WithText(r.Title)).
			WithFullDescription(sarif.NewMultiformatMessageString().WithText(r.Why)).
			WithHelp(sarif.NewMultiformatMessageString().WithText(r.Fix)).
			WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(level(r.Severity)))
	}
	for _, c := range cases {
		kind := map[Outcome]string{Fail: "fail", Note: "informational", Unknown: "review"}[c.Outcome]
		if kind == "" {
			continue
		}
		result := sarif.NewResult().WithRuleID(c.Rule).WithKind(kind).WithLevel("none").
			WithMessage(sarif.NewTextMessage(text(c)))
		if c.Outcome == Fail {
			result.WithLevel(level(c.Severity))
		}
		result.AddLocation(sarif.NewLocationWithPhysicalLocation(sarif.NewPhysicalLocation().WithArtifactLocation(sarif.NewSimpleArtifactLocation(c.Subject))))
		result.WithPartialFingerprints(map[string]string{"subjectAndRule/v1": c.Subject + " " + c.Rule})
		run.AddResult(result)
	}
	log := sarif.NewReport()
	log.AddRun(run)
	return log.PrettyWrite(w)
}

// text is a case for people who see nothing else of it.
func text(c Case) string {
	s := c.Title
	if c.Outcome == Pass { // the title says what would be wrong
		s = c.Detail
	} else if c.Detail != "" && c.Detail != c.Title {
		s += ": " + c.Detail
	}
	if len(c.Evidence) > 0 {
		s += "\n" + strings.Join(c.Evidence, "\n")
	}
	return s
}
