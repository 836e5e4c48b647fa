package render

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"example.org/starttls/check"

	sarif210 "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func written(t *testing.T, name string, r check.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, name, r, Options{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What a hostile peer says reaches nobody's terminal, page or log as it is; JSON
// alone carries it, escaped by its own rules.
func TestNoFormatPassesControlCharactersOn(t *testing.T) {
	for _, name := range Formats() {
		if s := written(t, name, hostileReport()); strings.ContainsAny(s, "\x1b\x07\x00\r") {
			t.Errorf("%s: %q", name, s)
		}
	}
}

// Every format is whole whatever the report holds: nothing, and what could not
// be told about.
func TestFormatsOfEmptyReports(t *testing.T) {
	failed := check.Report{Schema: check.Schema, Results: []check.Result{{Target: "smtp://x:25", Verdict: "failed", Outcome: check.Throttled, Error: &check.Error{Stage: "cleartext", Message: "421"}}}}
	for _, r := range []check.Report{{Schema: check.Schema, Results: []check.Result{}}, failed} {
		for _, name := range Formats() {
			checkSyntax(t, name, written(t, name, r))
		}
	}
}

func TestFormatsAreWellFormed(t *testing.T) {
	for _, name := range Formats() {
		checkSyntax(t, name, written(t, name, hostileReport()))
	}
}

// checkSyntax reads a format by its own rules.
func checkSyntax(t *testing.T, name, s string) {
	t.Helper()
	switch name {
	case "json":
		if !json.Valid([]byte(s)) {
			t.Errorf("%s: %s", name, s)
		}
	case "sarif": // read into the types of the format's own library, which have no other names
		var log sarif210.Report
		d := json.NewDecoder(strings.NewReader(s))
		d.DisallowUnknownFields()
		if err := d.Decode(&log); err != nil || log.Version != "2.1.0" || len(log.Runs) != 1 || *log.Runs[0].Tool.Driver.Rules[0].ID == "" {
			t.Fatalf("%s: %v\n%s", name, err, s)
		}
		for _, r := range log.Runs[0].Results {
			if *r.RuleID == "" || *r.Message.Text == "" || *r.Locations[0].PhysicalLocation.ArtifactLocation.URI == "" {
				t.Errorf("%s: %+v", name, r)
			}
		}
	case "jsonl":
		for l := range strings.Lines(s) {
			if !json.Valid([]byte(l)) {
				t.Errorf("%s: %s", name, l)
			}
		}
	case "junit":
		for d := xml.NewDecoder(strings.NewReader(s)); ; {
			token, err := d.Token()
			if err == io.EOF {
				return
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, s)
			}
			if e, ok := token.(xml.StartElement); ok {
				for _, a := range e.Attr {
					if _, err := strconv.ParseFloat(a.Value, 64); a.Name.Local == "time" && err != nil {
						t.Errorf("%s: time: %v", e.Name.Local, err)
					}
				}
			}
		}
	case "prometheus":
		p := expfmt.NewTextParser(model.UTF8Validation)
		if _, err := p.TextToMetricFamilies(strings.NewReader(s)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, s)
		}
	case "nagios":
		if strings.Count(s, "\n") != 1 || strings.Count(s, "|") != 1 {
			t.Errorf("%s: %q", name, s)
		}
	}
}

// docs/check.schema.json describes what --format json and jsonl print.
func TestJSONFollowsItsSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/check.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	full := hostileReport()
	full.Results[0].Findings[0].Verdict, full.Results[0].Findings[0].Evidence, full.Results[0].Findings[0].References = check.Vulnerable, []string{"C: STARTTLS"}, []string{"RFC 3207"}
	for _, name := range []string{"json", "jsonl"} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(written(t, name, full)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := os.ReadFile("../../docs/check.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(written(t, "json", full), `"verdict": "vulnerable"`, `"verdict": "terrible"`, 1)
	doc, _ := jsonschema.UnmarshalJSON(strings.NewReader(wrong))
	if schema.Validate(doc) == nil {
		t.Errorf("the schema allows anything:\n%s", b)
	}
}

func TestNagiosStates(t *testing.T) {
	finding := func(s check.Severity) []check.Finding {
		return []check.Finding{{ID: "x", Severity: s, Verdict: check.Warn}}
	}
	for _, c := range []struct {
		result check.Result
		want   int
		word   string
	}{
		{check.Result{Verdict: "ok", Outcome: check.Upgraded}, 0, "OK"},
		{check.Result{Verdict: "findings", Findings: finding(check.Low)}, 0, "OK"},
		{check.Result{Verdict: "findings", Findings: finding(check.Medium)}, 1, "WARNING"},
		{check.Result{Verdict: "findings", Findings: finding(check.High)}, 2, "CRITICAL"},
		{check.Result{Verdict: "failed", Outcome: check.Unreachable}, 2, "CRITICAL"},
		{check.Result{Verdict: "failed", Outcome: check.Throttled}, 3, "UNKNOWN"},
	} {
		r := check.Report{Results: []check.Result{c.result}}
		if got := NagiosExit(r, check.Medium); got != c.want || !strings.HasPrefix(written(t, "nagios", r), "STARTTLS "+c.word+" - ") {
			t.Errorf("%+v: %d, want %d: %s", c.result, got, c.want, written(t, "nagios", r))
		}
	}
}

// A line of jsonl is a report of its own, with all that is said of one.
func TestLinesAreReports(t *testing.T) {
	r := hostileReport()
	r.Made = "2030-01-01T00:00:00Z"
	var back check.Report
	if err := json.Unmarshal([]byte(written(t, "jsonl", r)), &back); err != nil || back.Made != r.Made {
		t.Errorf("%v: made %q", err, back.Made)
	}
}

// What got worse since the saved result is told in every format for people and
// for those who sound an alarm, however little the findings weigh.
func TestChangesAreTold(t *testing.T) {
	r := check.Report{Schema: check.Schema, Results: []check.Result{{Target: "smtp://x:25", Verdict: "ok", Outcome: check.Upgraded,
		Changes: []check.Change{{What: "level", Was: "verify", Is: "encrypt", Whose: "certificate", Worse: true}}}}}
	for _, name := range []string{"text", "json", "jsonl", "sarif", "junit", "nagios", "html", "markdown"} {
		s := written(t, name, r)
		checkSyntax(t, name, s)
		if !strings.Contains(s, "was verify, is encrypt") && !strings.Contains(s, `"was"`) {
			t.Errorf("%s: %s", name, s)
		}
	}
	if got := NagiosExit(r, check.High); got != stateWarning {
		t.Errorf("nagios: %d", got)
	}
	r.Results[0].Changes = []check.Change{}
	for name, want := range map[string]string{"text": "nothing has changed", "html": "nothing has changed", "jsonl": `"changes":[]`} {
		if s := written(t, name, r); !strings.Contains(s, want) {
			t.Errorf("%s: no %q in %s", name, want, s)
		}
	}
}

// A server that did not answer is not said to be exposed to anybody.
func TestSafetyThatIsNotKnown(t *testing.T) {
	against := check.Against{Eavesdropper: "exposed", Attacker: "exposed"}
	for verdict, want := range map[string]string{"failed": "not known", "findings": "exposed"} {
		r := check.Report{Results: []check.Result{{Target: "smtp://x:25", Verdict: verdict, Outcome: check.Unreachable, Level: "none", Against: against}}}
		for name, mark := range map[string]string{"html": `<td class="` + want + `">` + want + "</td>", "markdown": "| none | " + want + " | " + want + " |"} {
			if s := written(t, name, r); !strings.Contains(s, mark) {
				t.Errorf("%s: %s: no %q in %s", verdict, name, mark, s)
			}
		}
	}
}

// The page says first how grave the faults are that make an answer a bad one.
func TestPageCountsFaults(t *testing.T) {
	r := check.Report{Results: []check.Result{{Verdict: "ok", Outcome: check.Upgraded}, {Verdict: "findings", Outcome: check.Upgraded, Findings: []check.Finding{
		{ID: "a", Severity: check.High, Verdict: check.Vulnerable}, {ID: "b", Severity: check.Low, Verdict: check.Warn}, {ID: "c", Severity: check.Low, Verdict: check.Warn}, {ID: "d", Severity: check.Info, Verdict: check.Noted},
	}}}}
	s := written(t, "html", r)
	for _, want := range []string{"<td>none</td>", "<td>1 high, 2 low</td>"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q", want)
		}
	}
}
