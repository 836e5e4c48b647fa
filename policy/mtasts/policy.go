package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Mode is what a sender does about a server that does not satisfy the policy
// (RFC 8461, section 5).
type Mode string

const (
	Enforce Mode = "enforce" // it does not deliver there
	Testing Mode = "testing" // it delivers, and reports
	None    Mode = "none"    // there is no policy, and this is how one is taken back
)

// Limits of a policy: its length in bytes, as section 3.3 suggests, and its
// life.
const (
	maxLength = 64 << 10
	maxMaxAge = 31557600
)

// The fields of a policy.
const (
	fieldVersion = "version"
	fieldMode    = "mode"
	fieldMaxAge  = "max_age"
	fieldMX      = "mx" // the one that may come more than once
)

// Policy is what a domain asks of those who send mail to it (RFC 8461, section
// 3.2).
type Policy struct {
	Mode   Mode
	MX     []string // the servers it may go to: "mx.example.org" or "*.example.org", in lower case
	MaxAge time.Duration
	Text   string   // as served
	Advice []string // what is not as it should be, but did not count
}

var (
	hostName = atFirstUse(`^[0-9A-Za-z]([-0-9A-Za-z]{0,61}[0-9A-Za-z])?(\.[0-9A-Za-z]([-0-9A-Za-z]{0,61}[0-9A-Za-z])?)*$`)
	maxAge   = atFirstUse(`^[0-9]{1,10}$`)
)

// ParsePolicy reads a policy. Fields it does not know are ignored, and of one
// that comes twice all but the first, but for mx. Empty lines are let pass.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > maxLength {
		return nil, fmt.Errorf("it is longer than %d bytes", maxLength)
	}
	p := &Policy{Text: string(text)}
	seen := map[string]bool{}
	for i, line := range p.lines() {
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimLeft(value, " \t")
		if !ok || !fieldName().MatchString(name) || !isText(value) {
			return nil, fmt.Errorf("line %d, %.100q, is not of the form name: value", i+1, line)
		}
		if seen[name] && name != fieldMX {
			continue
		}
		seen[name] = true
		if err := p.set(name, value); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	for _, name := range []string{fieldVersion, fieldMode, fieldMaxAge, fieldMX} {
		if !seen[name] && !(name == fieldMX && p.Mode == None) {
			return nil, errors.New("there is no field " + name)
		}
	}
	return p, nil
}

func (p *Policy) set(name, value string) error {
	switch name {
	case fieldVersion:
		if value != "STSv1" {
			return fmt.Errorf("version %.100q is not STSv1", value)
		}
	case fieldMode:
		p.Mode = Mode(value)
		if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
			return fmt.Errorf("mode %.100q is not enforce, testing or none", value)
		}
	case fieldMaxAge:
		seconds, _ := strconv.Atoi(value)
		if !maxAge().MatchString(value) || seconds > maxMaxAge {
			return fmt.Errorf("max_age %.100q is not a number of seconds up to %d", value, maxMaxAge)
		}
		p.MaxAge = time.Duration(seconds) * time.Second
	case fieldMX:
		if domain := strings.TrimPrefix(value, "*."); len(domain) > 253 || !hostName().MatchString(domain) {
			return fmt.Errorf("mx %.100q is not a host name, nor one behind %q", value, "*.")
		}
		p.MX = append(p.MX, strings.ToLower(value))
	}
	return nil
}

// lines are the policy's, without their ends and what is blank there.
func (p *Policy) lines() []string {
	lines := strings.Split(p.Text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(strings.TrimSuffix(l, "\r"), " \t")
	}
	return lines
}

// Strings are the policy's lines, as reports quote them (RFC 8460, section 4.5).
func (p *Policy) Strings() (l []string) {
	for _, line := range p.lines() {
		if line != "" {
			l = append(l, line)
		}
	}
	return l
}

func isText(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// Match reports whether the policy allows mail to go to this MX host. A
// wildcard stands for one label (RFC 8461, section 4.1).
func (p *Policy) Match(mx string) bool {
	mx = strings.ToLower(strings.TrimSuffix(mx, "."))
	first, rest, _ := strings.Cut(mx, ".")
	for _, pattern := range p.MX {
		domain, wild := strings.CutPrefix(pattern, "*.")
		if !wild && mx == pattern || wild && first != "" && rest == domain {
			return true
		}
	}
	return false
}
