// Package render prints the lab's reports.
package render

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"example.org/starttls"
	"example.org/starttls/lab"
)

// Line writes one result on a line, as it comes. names is the width that names
// of protocols are set to.
func Line(w io.Writer, r lab.Result, color bool) error {
	_, err := fmt.Fprintf(w, "%s %-2s %-11s %-24s %s\n", word(r.Verdict, color), r.Score, r.Protocol, r.Case, starttls.Escape(r.Detail))
	return err
}

var colors = map[lab.Verdict]string{lab.Vulnerable: "31", lab.Warn: "33", lab.Info: "33", lab.OK: "32", lab.Inconclusive: "2", lab.Skipped: "2"}

func word(v lab.Verdict, color bool) string {
	s := fmt.Sprintf("%-12s", v)
	if color {
		s = "\x1b[" + colors[v] + "m" + s + "\x1b[0m"
	}
	return s
}

// Evidence writes the dialogue of a result, and where the client's own output is.
func Evidence(w io.Writer, r lab.Result) error {
	var b strings.Builder
	for _, l := range r.Evidence {
		b.WriteString("        " + starttls.Escape(l) + "\n")
	}
	if r.Log != "" {
		fmt.Fprintf(&b, "        client: %s; its output is in %s\n", r.Client, r.Log)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Summary writes the table at the end: a row for each case that did not go
// well, and a count of all.
func Summary(w io.Writer, r lab.Report) error {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "PROTOCOL\tCASE\tVERDICT\tSCORE\tWHAT HAPPENED TO THE CLIENT\n")
	for _, x := range r.Results {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", x.Protocol, x.Case, x.Verdict, x.Score, x.Title)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s; expected: TLS %s\n", r.Summary(), r.Expect)
	return err
}
