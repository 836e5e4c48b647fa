package tlsprobe

import (
	"context"
	"fmt"
)

// Verdict is what a probe for a fault concluded.
type Verdict int

// Verdicts.
const (
	Inconclusive  Verdict = iota // what the server did allows no conclusion
	Safe                         // it was put to the test and passed
	NotApplicable                // it lacks what the fault needs, and so is safe
	Vulnerable
)

func (v Verdict) String() string {
	return [...]string{"inconclusive", "safe", "not applicable", "vulnerable"}[v]
}

// Finding is the result of a probe for a fault, with the exchange that decided
// it. What leaked from the server's memory is cut from the evidence.
type Finding struct {
	Verdict  Verdict
	Detail   string
	Evidence []Exchange
}

func finding(v Verdict, detail string, a ...*Answer) Finding {
	f := Finding{Verdict: v, Detail: detail}
	for _, a := range a {
		f.Evidence = append(f.Evidence, a.Exchange)
	}
	return f
}

// Fault is a fault to probe for.
type Fault struct {
	ID         string
	References []string
	Probe      func(*Server, context.Context) (Finding, error)
}

// Faults are all that can be probed for.
var Faults = []Fault{
	{"heartbleed", []string{"CVE-2014-0160"}, (*Server).Heartbleed},
	{"ccs-injection", []string{"CVE-2014-0224"}, (*Server).CCSInjection},
	{"robot", []string{"ROBOT", "RFC 5246, section 7.4.7.1"}, (*Server).ROBOT},
	{"ticketbleed", []string{"CVE-2016-9244"}, (*Server).Ticketbleed},
	{"drown", []string{"CVE-2016-0800", "RFC 6176"}, (*Server).DROWN},
	{"freak", []string{"CVE-2015-0204"}, (*Server).FREAK},
	{"logjam", []string{"CVE-2015-4000", "RFC 9325, section 4.1"}, (*Server).Logjam},
	{"poodle", []string{"CVE-2014-3566", "RFC 7568"}, (*Server).POODLE},
	{"crime", []string{"CVE-2012-4929", "RFC 9325, section 3.3"}, (*Server).CRIME},
	{"insecure-renegotiation", []string{"CVE-2009-3555", "RFC 5746"}, (*Server).InsecureRenegotiation},
	{"renegotiation-dos", []string{"CVE-2011-1473"}, (*Server).RenegotiationDoS},
	{"fallback", []string{"RFC 7507"}, (*Server).Fallback},
	{"anonymous", []string{"RFC 9325, section 4.1"}, (*Server).Anonymous},
	{"null", []string{"RFC 9325, section 4.1"}, (*Server).Null},
	{"export", []string{"RFC 9325, section 4.1"}, (*Server).Export},
	{"rc4", []string{"RFC 7465", "CVE-2013-2566"}, (*Server).RC4},
	{"sweet32", []string{"CVE-2016-2183"}, (*Server).Sweet32},
}

// without says why a probe does not apply.
func without(what string) (Finding, error) {
	return Finding{Verdict: NotApplicable, Detail: fmt.Sprintf("the server has no %s", what)}, nil
}
