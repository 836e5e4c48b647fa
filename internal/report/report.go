// Package report prints what check and lab found in the formats of machines
// that know neither: SARIF for code scanning, JUnit for continuous integration.
package report

// Outcome is what became of a case.
type Outcome int

// The outcomes.
const (
	Pass Outcome = iota
	Fail
	Note    // true, and no fault
	Unknown // nothing could be told
	Skip    // not tried
)

// Rule is one entry of a catalogue.
type Rule struct {
	ID, Title, Why, Fix string
	Severity            string // high, medium, low or info
}

// Case is one thing tried on one subject.
type Case struct {
	Subject  string // what it was tried on: a URL, the name of a client
	Rule     string // the ID of its Rule
	Outcome  Outcome
	Severity string // high, medium, low or info
	Title    string
	Detail   string
	Evidence []string
}
