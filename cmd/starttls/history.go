package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"example.org/starttls"
	"example.org/starttls/check"

	"github.com/spf13/cobra"
)

// history is what a report is held against, and where it is kept.
type history struct {
	save, compare string
	before        *check.Report
}

func (h *history) flags(c *cobra.Command) {
	c.Flags().StringVar(&h.save, "save", "", "keep the result in `FILE` as what later ones are compared with")
	c.Flags().StringVar(&h.compare, "compare", "", "say what has changed since the result in `FILE`, and whose change it was; exit with 1 if the upgrade got worse")
	c.MarkFlagFilename("save")
	c.MarkFlagFilename("compare")
}

// read reads the saved result before anything is checked.
func (h *history) read() error {
	if h.compare == "" {
		return nil
	}
	b, err := os.ReadFile(h.compare)
	if err != nil {
		return usagef("starttls check --save FILE makes one", "--compare: %v", err)
	}
	h.before = new(check.Report)
	if err := json.Unmarshal(b, h.before); err != nil || h.before.Schema != check.Schema {
		return usagef("starttls check --save FILE makes one", "--compare %s: no saved result", h.compare)
	}
	return nil
}

// hold holds the report against the saved one. Of targets that it does not know
// nothing can be said, which stderr is told.
func (h *history) hold(r *check.Report, stderr io.Writer) {
	if h.before == nil {
		return
	}
	check.Compare(h.before, r)
	for _, res := range r.Results {
		if res.Changes == nil {
			fmt.Fprintf(stderr, "starttls: %s is not in %s, and not compared\n", res.Target, h.compare)
		}
	}
}

// keep saves the report.
func (h *history) keep(r *check.Report) error {
	if h.save == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(h.save, append(b, '\n'), 0o644)
	}
	if err != nil {
		return fileError("--save", writeHint, err)
	}
	return nil
}

// explain tells of a finding at length.
func (a *app) explain(id string) error {
	for _, e := range check.Catalogue() {
		if e.ID != id {
			continue
		}
		fmt.Fprintf(a.out, "%s\n\n%s.\n%s\n\nfix: %s\n\n", e.ID, e.Title, e.Why, e.Fix)
		for role, s := range e.Severity {
			fmt.Fprintf(a.out, "severity, %-7s %s\n", starttls.Role(role).String()+":", s)
		}
		if len(e.References) > 0 {
			fmt.Fprintf(a.out, "see: %s\n", strings.Join(e.References, ", "))
		}
		return nil
	}
	return usagef("docs/findings.md lists them", "no finding is called %q", id)
}
