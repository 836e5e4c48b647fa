package report

import (
	"encoding/json"
	"io"
	"strings"
)

// The part of a SARIF 2.1.0 log that is written here. The format's own library
// checks schemas too, and every command would wait for that at its start.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string    `json:"id"`
		Short   sarifText `json:"shortDescription"`
		Full    sarifText `json:"fullDescription"`
		Help    sarifText `json:"help"`
		Default struct {
			Level string `json:"level"`
		} `json:"defaultConfiguration"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		Rule         string            `json:"ruleId"`
		Kind         string            `json:"kind"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    [1]sarifLocation  `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
		} `json:"physicalLocation"`
	}
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
	run := sarifRun{Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: tool, Version: version, Rules: []sarifRule{}}
	for _, r := range rules {
		rule := sarifRule{ID: r.ID, Short: sarifText{r.Title}, Full: sarifText{r.Why}, Help: sarifText{r.Fix}}
		rule.Default.Level = level(r.Severity)
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
	}
	for _, c := range cases {
		kind := map[Outcome]string{Fail: "fail", Note: "informational", Unknown: "review"}[c.Outcome]
		if kind == "" {
			continue
		}
		result := sarifResult{Rule: c.Rule, Kind: kind, Level: "none", Message: sarifText{text(c)},
			Fingerprints: map[string]string{"subjectAndRule/v1": c.Subject + " " + c.Rule}}
		if c.Outcome == Fail {
			result.Level = level(c.Severity)
		}
		result.Locations[0].Physical.Artifact.URI = c.Subject
		run.Results = append(run.Results, result)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(sarifLog{"https://raw.githubusercontent.com/oasis-tcs/sarif-spec/main/sarif-2.1/schema/sarif-schema-2.1.0.json", "2.1.0", []sarifRun{run}})
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
