// Package render prints check's reports.
package render

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"example.org/starttls"
	"example.org/starttls/check"
)

// TextOptions says how text is printed.
type TextOptions struct {
	Color bool
}

// Text writes the report for people: for each target the answer first, then
// what it rests on, then the findings, worst first.
func Text(w io.Writer, r check.Report, o TextOptions) error {
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

// fact prints one aligned line; an empty value prints nothing.
func (p printer) fact(name, value string) {
	if value != "" {
		fmt.Fprintf(p, "  %-12s %s\n", name, value)
	}
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
	fmt.Fprintf(p, "%s %s  %s\n", mark, r.Target, word)
	p.facts(r)
	for _, f := range r.Findings {
		p.finding(f)
	}
	for _, l := range r.Transcript {
		fmt.Fprintf(p, "  %s\n", p.paint(dim, l))
	}
}

func headline(r check.Result) string {
	switch {
	case r.Outcome == check.Upgraded && r.Level == "verify":
		return fmt.Sprintf("%s, verified", r.TLS.Version)
	case r.Outcome == check.Upgraded:
		return fmt.Sprintf("%s, certificate not verified: %s", r.TLS.Version, r.Certificate.Error)
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
	if len(r.Certificate.Chain) > 0 {
		c := r.Certificate.Chain[0]
		p.fact("certificate", fmt.Sprintf("%s, %s, from %s", strings.Join(c.Names, " "), c.Key, c.Issuer))
		p.fact("", fmt.Sprintf("valid until %s%s", c.NotAfter, left(c.NotAfter)))
	}
	p.fact("before TLS", list(r.StartTLS.Before))
	p.fact("inside TLS", list(r.StartTLS.After))
	for _, e := range r.Exposed {
		p.fact("in clear", p.paint(dim, e.What+": ")+e.Text)
	}
	if r.Outcome == check.Upgraded {
		p.fact("level", fmt.Sprintf("%s; eavesdropper: %s, active attacker: %s", r.Level, p.safe(r.Against.Eavesdropper), p.safe(r.Against.Attacker)))
	}
	p.fact("took", fmt.Sprintf("%.1f ms (dial %.1f, cleartext %.1f, handshake %.1f)", r.Milliseconds.Total, r.Milliseconds.Dial, r.Milliseconds.Cleartext, r.Milliseconds.Handshake))
	if r.Error != nil && r.Error.Hint != "" {
		p.fact("hint", r.Error.Hint)
	}
}

func (p printer) safe(s string) string {
	if s == "safe" {
		return p.paint(green, s)
	}
	return p.paint(red, s)
}

func (p printer) finding(f check.Finding) {
	colour := map[check.Severity]string{check.High: red, check.Medium: yellow, check.Low: yellow, check.Info: dim}[f.Severity]
	fmt.Fprintf(p, "  %s %s (%s)\n", p.paint(colour, fmt.Sprintf("%-6s", f.Severity)), f.Title, f.ID)
	fmt.Fprintf(p, "         %s\n", starttls.Escape(f.Detail))
	if f.Severity != check.Info {
		fmt.Fprintf(p, "         fix: %s\n", f.Fix)
	}
}

func list(caps []string) string {
	out := make([]string, len(caps))
	for i, c := range caps {
		out[i] = starttls.Escape(c)
	}
	s := strings.Join(out, ", ")
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return s
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
