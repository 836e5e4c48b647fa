package check

import (
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Profile is a set of house rules: how grave findings are, which of them fail,
// the level that must be reached and the oldest version that may be accepted.
type Profile struct {
	About      string              `toml:"about"`
	Source     []string            `toml:"source"` // where the rules are from
	FailOn     Severity            `toml:"fail-on"`
	Require    string              `toml:"require"`     // encrypt, verify, mta-sts or dane
	MinVersion string              `toml:"min-version"` // the oldest that may be accepted: "TLS 1.2" or "TLS 1.3"
	Severity   map[string]Severity `toml:"severity"`    // by the id of a finding; "off" leaves one out
}

// versions are those that can be the oldest.
var versions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

// off is the severity of findings that a profile leaves out.
const off Severity = "off"

//go:embed profiles/*.toml
var builtin embed.FS

// Profiles are the names of those that come with the program.
func Profiles() (names []string) {
	files, _ := fs.Glob(builtin, "profiles/*.toml")
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f), ".toml"))
	}
	return names
}

// BuiltinProfile returns the profile of that name, and whether there is one.
func BuiltinProfile(name string) (*Profile, bool) {
	b, err := builtin.ReadFile("profiles/" + name + ".toml")
	if err != nil {
		return nil, false
	}
	p, err := ParseProfile(b)
	return p, err == nil
}

// ParseProfile reads a profile in TOML. What it does not know is an error, with
// the line and the nearest thing that it does know.
func ParseProfile(text []byte) (*Profile, error) {
	var p Profile
	meta, err := toml.Decode(string(text), &p)
	var bad toml.ParseError
	if errors.As(err, &bad) {
		return nil, fmt.Errorf("line %d: %s", bad.Position.Line, bad.Message)
	}
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("%q is no key of a profile: about, source, fail-on, require, min-version, severity", unknown[0])
	}
	if p.FailOn != "" && !slices.Contains(severities[1:], p.FailOn) {
		return nil, fmt.Errorf("fail-on %q: it is info, low, medium or high", p.FailOn)
	}
	if p.Require != "" && !slices.Contains(levels[1:], p.Require) {
		return nil, fmt.Errorf("require %q: it is %s", p.Require, strings.Join(levels[1:], ", "))
	}
	if p.MinVersion != "" && versions[p.MinVersion] == 0 {
		return nil, fmt.Errorf("min-version %q: it is TLS 1.2 or TLS 1.3", p.MinVersion)
	}
	for id, s := range p.Severity {
		if s != off && !slices.Contains(severities[1:], s) {
			return nil, fmt.Errorf("severity of %s: %q: it is info, low, medium, high or off", id, s)
		}
		if !slices.ContainsFunc(catalogue, func(e entry) bool { return e.id == id }) {
			return nil, fmt.Errorf("severity: no finding is called %q%s", id, nearestID(id))
		}
	}
	return &p, nil
}

// nearestID suggests the id that begins alike.
func nearestID(id string) string {
	best, longest := "", 3
	for _, e := range catalogue {
		n := 0
		for n < len(id) && n < len(e.id) && id[n] == e.id[n] {
			n++
		}
		if n > longest {
			best, longest = e.id, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// weigh gives the findings of a result the severities of the profile.
func (p *Profile) weigh(r *Result) {
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool { return p.Severity[f.ID] == off })
	for i := range r.Findings {
		f := &r.Findings[i]
		s, ok := p.Severity[f.ID]
		if !ok || !f.Bad() && f.Verdict != Noted {
			continue
		}
		f.Severity = s
		switch s {
		case Info:
			f.Verdict = Noted
		case High:
			f.Verdict = Vulnerable
		default:
			f.Verdict = Warn
		}
	}
}
