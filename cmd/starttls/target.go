package main

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"example.org/starttls"
	"example.org/starttls/check"
	"example.org/starttls/internal/nearest"
	"example.org/starttls/protocol"
)

const schemesHint = `a target is SCHEME://HOST[:PORT] or HOST:PORT, as in imap://mail.example.org; "starttls protocols" lists the schemes`

// parseTarget reads a TARGET. own, if there is one, is the user's own protocol.
func parseTarget(s string, own starttls.Protocol) (check.Target, error) {
	var t check.Target
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return bareTarget(s, own)
	}
	p, implicit, err := lookup(scheme, own)
	if err != nil {
		return t, usagef(nearestScheme(scheme, own), "%s: no protocol is called %q", s, scheme)
	}
	u, err := url.Parse("x://" + rest)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return t, usagef(schemesHint, "%q is not SCHEME://HOST[:PORT]", s)
	}
	if !strings.HasPrefix(u.Host, "[") && strings.Count(u.Host, ":") > 1 {
		return t, usagef("an IPv6 address stands in brackets, as in "+scheme+"://[::1]:25", "%q is not SCHEME://HOST[:PORT]", s)
	}
	t = check.Target{Protocol: p, Implicit: implicit, Host: u.Hostname(), Port: p.Info().Port}
	if implicit {
		t.Port = p.Info().ImplicitTLS
	}
	if u.Port() != "" || strings.HasSuffix(u.Host, ":") {
		if t.Port, err = port(u.Port()); err != nil {
			return t, usagef(portHint(p, implicit), "%s: %v", s, err)
		}
	}
	if t.Port == 0 {
		return t, usagef("give it: "+s+":PORT", "%s: it has no usual port", s)
	}
	return t, nil
}

// lookup finds the protocol of a scheme, own before all others.
func lookup(scheme string, own starttls.Protocol) (p starttls.Protocol, implicit bool, err error) {
	if own != nil {
		switch base, s := strings.CutSuffix(strings.ToLower(scheme), "s"); own.Info().Name {
		case strings.ToLower(scheme):
			return own, false, nil
		case base:
			return own, s, nil
		}
	}
	return protocol.Lookup(scheme)
}

// bareTarget reads HOST:PORT, whose port tells the protocol unless it is own.
func bareTarget(s string, own starttls.Protocol) (t check.Target, err error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return t, usagef(schemesHint, "%q does not say which protocol", s)
	}
	if t.Port, err = port(digits); err != nil {
		return t, usagef(schemesHint, "%s: %v", s, err)
	}
	p, implicit, ok := protocol.ByPort(t.Port)
	if own != nil {
		p, implicit, ok = own, false, true
	}
	if !ok {
		return t, usagef(schemesHint, "%s: port %d is no protocol's usual one", s, t.Port)
	}
	t.Protocol, t.Implicit, t.Host = p, implicit, host
	return t, nil
}

func port(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, usagef("as in 192.0.2.1:3493", "port %q is not a number from 1 to 65535", s)
	}
	return n, nil
}

// portHint tells which port a protocol usually has.
func portHint(p starttls.Protocol, implicit bool) string {
	usual := p.Info().Port
	if implicit {
		usual = p.Info().ImplicitTLS
	}
	if usual == 0 {
		return "it has no usual port: ask whoever runs the server"
	}
	return "the usual one is " + strconv.Itoa(usual) + "; without :PORT it is taken"
}

// nearestScheme suggests the scheme that was perhaps meant.
func nearestScheme(name string, own starttls.Protocol) string {
	all := protocol.All()
	if own != nil {
		all = append([]starttls.Protocol{own}, all...)
	}
	var names []string
	for _, p := range all {
		names = append(append(names, p.Info().Name, p.Info().Name+"s"), p.Info().Aliases...)
	}
	if best := nearest.Word(strings.ToLower(name), names); best != "" {
		return "did you mean " + best + "://?"
	}
	return schemesHint
}
