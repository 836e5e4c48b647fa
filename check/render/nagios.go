package render

import (
	"fmt"
	"io"
	"strings"
	"time"

	"example.org/starttls/check"
)

// The states of a monitoring plugin, which are its exit codes too.
const (
	stateOK = iota
	stateWarning
	stateCritical
	stateUnknown
)

// NagiosExit is the exit code that the plugin convention has for the report:
// the worst of its results.
func NagiosExit(r check.Report, failOn check.Severity) int {
	o := Options{FailOn: failOn}
	worst := stateOK
	for _, res := range r.Results {
		if s := state(res, o.failOn()); rank(s) > rank(worst) {
			worst = s
		}
	}
	return worst
}

// rank orders the states: what is known to be broken comes before what is not
// known.
func rank(s int) int { return []int{stateOK: 0, stateUnknown: 1, stateWarning: 2, stateCritical: 3}[s] }

func state(r check.Result, failOn check.Severity) int {
	s := stateOK
	if r.GotWorse() {
		s = stateWarning
	}
	for _, f := range r.Findings {
		if f.Bad() && f.Severity == check.High && check.High.AtLeast(failOn) {
			return stateCritical
		}
		if f.Bad() && f.Severity.AtLeast(failOn) {
			s = stateWarning
		}
	}
	switch {
	case s != stateOK || r.Verdict != "failed":
		return s
	case r.Outcome == check.Unreachable || r.Outcome == check.TimedOut || r.Outcome == check.Closed:
		return stateCritical // the service is down
	}
	return stateUnknown
}

// nagios writes one line, with performance data for each target.
func nagios(w io.Writer, r check.Report, o Options) error {
	word := []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[NagiosExit(r, o.failOn())]
	var said, data []string
	for i, res := range r.Results {
		said = append(said, oneLine(res, o.failOn()))
		label := ""
		if len(r.Results) > 1 {
			label = fmt.Sprint(i + 1)
		}
		data = append(data, fmt.Sprintf("time%s=%.3fs;;;0", label, res.Milliseconds.Total/1000))
		if len(res.Certificate.Chain) > 0 {
			if t, err := time.Parse(time.RFC3339, res.Certificate.Chain[0].NotAfter); err == nil {
				data = append(data, fmt.Sprintf("days%s=%d;14:;0:", label, int(time.Until(t).Hours()/24)))
			}
		}
	}
	_, err := fmt.Fprintf(w, "STARTTLS %s - %s | %s\n", word, strings.ReplaceAll(strings.Join(said, "; "), "|", "/"), strings.Join(data, " "))
	return err
}

// oneLine is the answer of a result, with the ids of what counts against it, and
// what got worse.
func oneLine(r check.Result, failOn check.Severity) string {
	s := show(r.Target) + " " + show(headline(r))
	var bad []string
	for _, f := range r.Findings {
		if f.Bad() && f.Severity.AtLeast(failOn) {
			bad = append(bad, f.ID)
		}
	}
	for _, c := range r.Changes {
		if c.Worse {
			bad = append(bad, show(c.String()))
		}
	}
	if len(bad) > 0 {
		s += " (" + strings.Join(bad, ", ") + ")"
	}
	return s
}
