// Package render prints check's reports.
package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"example.org/starttls"
	"example.org/starttls/check"
)

// Text writes the report for people: for each target the answer first, then
// what it rests on, then the findings, worst first.
func Text(w io.Writer, r check.Report, o Options) error {
	var b strings.Builder
	for i, res := range r.Results {
		if i > 0 {
			b.WriteByte('\n')
		}
		p := printer{&b, o.Color}
		p.result(res)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

type printer struct {
	*strings.Builder
	color bool
}

// The colours carry meaning: good, bad, doubtful, less important.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

func (p printer) paint(code, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// The columns: the names of facts, the facts; and the text of findings.
const (
	nameWidth   = 12
	factIndent  = 2 + nameWidth + 1
	textIndent  = 9
	screenWidth = 100
)

// fact prints untrusted text under a name, aligned; an empty value prints
// nothing.
func (p printer) fact(name, value string) {
	if value != "" {
		p.painted(name, wrap(show(value), factIndent))
	}
}

// painted prints a value that holds nothing untrusted but what was escaped.
func (p printer) painted(name, value string) {
	fmt.Fprintf(p, "  %-*s %s\n", nameWidth, name, value)
}

// show makes untrusted text fit for a terminal. Unlike starttls.Escape it keeps
// backslashes: much of what it is given was quoted before.
func show(s string) string {
	var b strings.Builder
	for _, c := range s {
		if strconv.IsPrint(c) {
			b.WriteRune(c)
		} else {
			b.WriteString(starttls.Escape(string(c)))
		}
	}
	return b.String()
}

// wrap breaks s at spaces to the width of the screen; lines after the first
// are indented.
func wrap(s string, indent int) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Split(s, " ") {
		if n := utf8.RuneCountInString(word); i > 0 && column+1+n > screenWidth {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent + n
		} else {
			if i > 0 {
				b.WriteByte(' ')
				column++
			}
			column += n
		}
		b.WriteString(word)
	}
	return b.String()
}

func (p printer) result(r check.Result) {
	mark, word := p.paint(green, "ok  "), headline(r)
	switch r.Verdict {
	case "findings":
		mark = p.paint(yellow, "WARN")
		if slices.ContainsFunc(r.Findings, func(f check.Finding) bool { return f.Severity == check.High }) {
			mark = p.paint(red, "BAD ")
		}
	case "failed":
		mark = p.paint(yellow, "??? ")
	}
	via := ""
	if r.Via != "" {
		via = p.paint(dim, " ("+show(r.Via)+")")
	}
	fmt.Fprintf(p, "%s %s%s  %s\n", mark, show(r.Target), via, show(word))
	p.facts(r)
	for _, f := range r.Findings {
		if f.Verdict != check.Passed && f.Verdict != check.Skipped {
			p.finding(f, len(r.Transcript) > 0)
		}
	}
	p.fact("tests", tally(r.Findings))
	if r.Changes != nil && len(r.Changes) == 0 {
		p.fact("since then", "nothing has changed")
	}
	for _, c := range r.Changes {
		s := c.String()
		if c.Worse {
			s = p.paint(red, "worse: ") + show(s)
		} else {
			s = show(s)
		}
		p.painted("since then", wrap(s, factIndent))
	}
	for _, l := range r.Transcript {
		fmt.Fprintf(p, "  %s\n", p.paint(dim, show(l)))
	}
}

func headline(r check.Result) string {
	switch {
	case r.Path != nil && r.Verdict == "ok":
		return "the path changes nothing"
	case r.Path != nil && r.Error == nil:
		return "the path changes what is said: " + string(r.Outcome)
	case r.Outcome == check.Upgraded && r.Level == "verify":
		return fmt.Sprintf("%s, verified", r.TLS.Version)
	case r.Outcome == check.Upgraded:
		return fmt.Sprintf("%s, certificate not verified: %s", r.TLS.Version, r.Certificate.Error)
	case r.Error != nil && r.Verdict == "failed" && (r.Outcome == check.TimedOut || r.Outcome == check.Closed):
		return fmt.Sprintf("%s at the stage %s: %s", r.Outcome, r.Error.Stage, r.Error.Message)
	case r.Error != nil && (r.Verdict == "failed" || r.Outcome == check.HandshakeFailed):
		return fmt.Sprintf("%s: %s", r.Outcome, r.Error.Message)
	}
	return string(r.Outcome)
}

func (p printer) facts(r check.Result) {
	if r.Address != "" && !strings.HasSuffix(r.Target, "//"+r.Address) {
		p.fact("address", r.Address)
	}
	if r.TLS.Version != "" {
		p.fact("TLS", strings.Join(nonEmpty(r.TLS.Version, r.TLS.Cipher, r.TLS.Group, r.TLS.ALPN), ", "))
	}
	p.fact("versions", strings.Join(r.TLS.Versions, ", "))
	for _, v := range r.TLS.Versions {
		p.fact(v, strings.Join(r.TLS.Suites[v], " "))
	}
	p.fact("groups", strings.Join(r.TLS.Groups, " "))
	p.fact("signatures", strings.Join(r.TLS.Schemes, " "))
	if len(r.Certificate.Chain) > 0 {
		c := r.Certificate.Chain[0]
		p.fact("certificate", fmt.Sprintf("%s, %s, from %s", cmp.Or(strings.Join(c.Names, " "), c.Subject, "no name"), c.Key, c.Issuer))
		p.fact("", fmt.Sprintf("valid until %s%s", c.NotAfter, left(c.NotAfter)))
	}
	p.fact("before TLS", strings.Join(r.StartTLS.Before, ", "))
	p.fact("inside TLS", inside(r.StartTLS))
	p.fact("required", required(r.StartTLS))
	for _, e := range r.Exposed {
		p.fact("in clear", e.What+": "+e.Text)
	}
	if r.Outcome == check.Upgraded {
		p.painted("level", fmt.Sprintf("%s; eavesdropper: %s, active attacker: %s", r.Level, p.safe(r.Against.Eavesdropper), p.safe(r.Against.Attacker)))
		said := func(f check.Finding) bool { return f.Fix == r.Against.AttackerFix }
		if fix := r.Against.AttackerFix; fix != "" && !slices.ContainsFunc(r.Findings, said) { // between servers
			p.fact("", "a sender who is refused TLS goes on in clear. "+fix)
		}
	}
	p.policy(r.Policy)
	p.path(r.Path)
	p.fact("took", fmt.Sprintf("%.1f ms (dial %.1f, cleartext %.1f, handshake %.1f)", r.Milliseconds.Total, r.Milliseconds.Dial, r.Milliseconds.Cleartext, r.Milliseconds.Handshake))
	if r.Error != nil && r.Error.Hint != "" {
		p.fact("hint", r.Error.Hint)
	}
}

// tally says how the tests that found no fault went, and why one was skipped.
func tally(findings []check.Finding) string {
	n := map[check.Verdict]int{}
	why := ""
	for _, f := range findings {
		n[f.Verdict]++
		if f.Verdict == check.Skipped {
			why = f.Detail
		}
	}
	var out []string
	if n[check.Passed] > 0 {
		out = append(out, fmt.Sprintf("%d passed", n[check.Passed]))
	}
	if n[check.Skipped] > 0 {
		out = append(out, fmt.Sprintf("%d skipped: %s", n[check.Skipped], why))
	}
	return strings.Join(out, ", ")
}

func (p printer) safe(s string) string {
	if s == "safe" {
		return p.paint(green, s)
	}
	return p.paint(red, s)
}

// finding prints one, and where the dialogue is wanted, that of a fault's test.
func (p printer) finding(f check.Finding, dialogue bool) {
	colour := map[check.Severity]string{check.High: red, check.Medium: yellow, check.Low: yellow, check.Info: dim}[f.Severity]
	grade := string(f.Severity)
	if f.Verdict == check.Inconclusive { // whether the title holds is not known
		grade = "unsure"
	}
	fmt.Fprintf(p, "  %s %s (%s)\n", p.paint(colour, fmt.Sprintf("%-6s", grade)), f.Title, f.ID)
	fmt.Fprintf(p, "%*s%s\n", textIndent, "", wrap(show(f.Detail), textIndent))
	if f.Severity != check.Info {
		fmt.Fprintf(p, "%*s%s\n", textIndent, "", wrap("fix: "+f.Fix, textIndent))
	}
	if dialogue && (f.Bad() || f.Verdict == check.Inconclusive) {
		for _, l := range f.Evidence {
			fmt.Fprintf(p, "%*s%s\n", textIndent, "", p.paint(dim, show(l)))
		}
	}
}

// required says whether there can be a session without TLS, where that is known.
func required(s check.StartTLS) string {
	return map[string]string{"yes": "yes: nobody gets in without TLS", "no": "no: a session can be without TLS"}[s.Required]
}

// inside lists what is offered inside TLS: with a plus what was not before it,
// and at the end, with a minus, what was before it alone.
func inside(s check.StartTLS) string {
	if len(s.Before) == 0 || len(s.After) == 0 {
		return strings.Join(s.After, ", ")
	}
	var out []string
	for _, c := range s.After {
		if !slices.Contains(s.Before, c) {
			c = "+" + c
		}
		out = append(out, c)
	}
	for _, c := range s.Before {
		if !slices.Contains(s.After, c) {
			out = append(out, "-"+c)
		}
	}
	return strings.Join(out, ", ")
}

func nonEmpty(s ...string) []string {
	return slices.DeleteFunc(s, func(s string) bool { return s == "" })
}

func left(until string) string {
	t, err := time.Parse(time.RFC3339, until)
	if d := time.Until(t); err == nil && d > 0 {
		if d < 48*time.Hour {
			return fmt.Sprintf(", %d hours left", int(d.Hours()))
		}
		return fmt.Sprintf(", %d days left", int(d.Hours()/24))
	}
	return ""
}
