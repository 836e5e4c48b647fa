package main

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"example.org/starttls/check"
	"example.org/starttls/protocol"
)

const schemesHint = `a target is SCHEME://HOST[:PORT] or HOST:PORT, as in imap://mail.example.org; "starttls protocols" lists the schemes`

// parseTarget reads a TARGET.
func parseTarget(s string) (check.Target, error) {
	var t check.Target
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return bareTarget(s)
	}
	p, implicit, err := protocol.Lookup(scheme)
	if err != nil {
		return t, usagef(nearest(scheme), "%s: no protocol is called %q", s, scheme)
	}
	u, err := url.Parse("x://" + rest)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return t, usagef(schemesHint, "%q is not SCHEME://HOST[:PORT]", s)
	}
	t = check.Target{Protocol: p, Implicit: implicit, Host: u.Hostname(), Port: p.Info().Port}
	if implicit {
		t.Port = p.Info().ImplicitTLS
	}
	if u.Port() != "" || strings.HasSuffix(u.Host, ":") {
		if t.Port, err = port(u.Port()); err != nil {
			return t, usagef("", "%s: %v", s, err)
		}
	}
	if t.Port == 0 {
		return t, usagef("give it: "+s+":PORT", "%s: it has no usual port", s)
	}
	return t, nil
}

// bareTarget reads HOST:PORT, whose port tells the protocol.
func bareTarget(s string) (t check.Target, err error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return t, usagef(schemesHint, "%q does not say which protocol", s)
	}
	if t.Port, err = port(digits); err != nil {
		return t, usagef("", "%s: %v", s, err)
	}
	p, implicit, ok := protocol.ByPort(t.Port)
	if !ok {
		return t, usagef(schemesHint, "%s: port %d is no protocol's usual one", s, t.Port)
	}
	t.Protocol, t.Implicit, t.Host = p, implicit, host
	return t, nil
}

func port(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, usagef("", "port %q is not a number from 1 to 65535", s)
	}
	return n, nil
}

// nearest suggests the scheme that was perhaps meant.
func nearest(name string) string {
	best, least := "", min(3, len(name)/2+1)
	for _, p := range protocol.All() {
		for _, n := range append([]string{p.Info().Name, p.Info().Name + "s"}, p.Info().Aliases...) {
			if d := distance(strings.ToLower(name), n); d < least {
				best, least = n, d
			}
		}
	}
	if best == "" {
		return schemesHint
	}
	return "did you mean " + best + "://?"
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
