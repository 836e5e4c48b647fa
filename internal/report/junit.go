package report

import (
	"encoding/xml"
	"io"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// JUnit writes the cases as JUnit XML: a suite for each subject, in the order
// in which they come. fails tells which of the failed cases count as failures;
// what could not be told is an error.
func JUnit(w io.Writer, name string, cases []Case, fails func(Case) bool) error {
	all := junit.Testsuites{Name: name}
	suites := map[string]*junit.Testsuite{}
	var order []string
	for _, c := range cases {
		s := suites[c.Subject]
		if s == nil {
			s = &junit.Testsuite{Name: c.Subject, ID: len(order), Time: "0"} // not measured by case, and the attribute has to be a number
			suites[c.Subject] = s
			order = append(order, c.Subject)
		}
		tc := junit.Testcase{Name: c.Rule, Classname: c.Subject}
		// A control character is none in XML 1.0, and the peer's words may hold one.
		result := &junit.Result{Message: printable(c.Title), Type: c.Severity, Data: printable(text(c))}
		switch {
		case c.Outcome == Fail && fails(c):
			tc.Failure = result
		case c.Outcome == Unknown:
			tc.Error = result
		case c.Outcome == Skip:
			tc.Skipped = &junit.Result{Message: printable(c.Detail)}
		case c.Detail != "":
			tc.SystemOut = &junit.Output{Data: printable(text(c))}
		}
		s.AddTestcase(tc)
	}
	for _, subject := range order {
		all.AddSuite(*suites[subject])
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return '\ufffd'
		}
		return r
	}, s)
}
