package mtasts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

// matches reports whether got is want or, where want begins with "!", an error
// that contains the rest.
func matches(got string, err error, want string) bool {
	part, bad := strings.CutPrefix(want, "!")
	if err != nil {
		return bad && strings.Contains(err.Error(), part)
	}
	return !bad && got == want
}

func TestParseRecord(t *testing.T) {
	long := strings.Repeat("x", 32)
	for _, c := range []struct{ txt, want string }{
		{"v=STSv1; id=20160831085700Z;", "20160831085700Z"},
		{"v=STSv1;id=a", "a"},
		{"v=STSv1 ;\tid=a \t; ", "a"},
		{"v=STSv1;id=" + long, long},
		{"v=STSv1;x.y-z_1=?!{}/;id=a", "a"},
		{"v=STSv1;id=a;id=b", "a"},
		{"v=STSv1;id=a;id=?", "a"},
		{"v=STSv1;id=a;v=STSv2", "a"},
		{"v=STSv1;id=?;id=a", "!is not 1 to 32 letters and digits"},
		{"v=STSv1;id=" + long + "x", "!is not 1 to 32 letters and digits"},
		{"v=STSv1;ID=a", "!no field id"},
		{"v=STSv1", "!no field id"},
		{"v=STSv1;", "!no field id"},
		{"v=STSv2;id=a", "!begins with"},
		{"v=stsv1;id=a", "!begins with"},
		{" v=STSv1;id=a", "!begins with"},
		{"id=a;v=STSv1", "!begins with"},
		{"", "!begins with"},
		{"v=STSv1;id=", "!not of the form"},
		{"v=STSv1;id", "!not of the form"},
		{"v=STSv1;id = a", "!not of the form"},
		{"v=STSv1;id=a;;", "!not of the form"},
		{"v=STSv1;id=a=b", "!not of the form"},
		{"v=STSv1;id=a b", "!not of the form"},
		{"v=STSv1;_x=1;id=a", "!not of the form"},
		{"v=STSv1;" + strings.Repeat("n", 33) + "=1;id=a", "!not of the form"},
		{"v=STSv1;x=\x7f;id=a", "!not of the form"},
	} {
		if r, err := ParseRecord(c.txt); !matches(r.ID, err, c.want) {
			t.Errorf("%q: %q, %v, want %s", c.txt, r.ID, err, c.want)
		}
	}
}

// names is a resolver: the TXT records of each name, nil where it fails.
type names map[string][]string

func (n names) LookupTXT(_ context.Context, name string) ([]string, error) {
	txt, ok := n[name]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	if txt == nil {
		return nil, errors.New("no answer")
	}
	return txt, nil
}

func TestLookupRecord(t *testing.T) {
	const good, other = "v=STSv1;id=a", "v=spf1 -all"
	n := names{
		"_mta-sts.one.test": {other, good}, "_mta-sts.none.test": {other, "v=STSv1"},
		"_mta-sts.two.test": {good, "v=STSv1;"}, "_mta-sts.bad.test": {"v=STSv1;"}, "_mta-sts.fails.test": nil,
	}
	for domain, c := range map[string]struct{ want, result string }{
		"one.test": {"a", ""}, "none.test": {"!there is no MTA-STS record", ""}, "missing.test": {"!there is no MTA-STS record", ""},
		"two.test": {"!there are 2", ""}, "bad.test": {"!there is no field id", invalid}, "fails.test": {"!no answer", fetchError},
	} {
		r, err := LookupRecord(t.Context(), n, domain)
		if !matches(r.ID, err, c.want) {
			t.Errorf("%s: %q, %v, want %s", domain, r.ID, err, c.want)
		}
		var e *Error
		if errors.As(err, &e); (e != nil) != (c.result != "") || e != nil && e.ResultType() != c.result {
			t.Errorf("%s: %v is not of type %q", domain, err, c.result)
		}
		if err != nil && c.result == "" && !errors.Is(err, ErrNoRecord) {
			t.Errorf("%s: %v", domain, err)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	const head = "version: STSv1\nmode: enforce\nmax_age: 86400\n"
	for _, c := range []struct{ text, want string }{ // want: mode, mx and max_age
		{head + "mx: mx.example.test\n", "enforce [mx.example.test] 24h0m0s"},
		{strings.ReplaceAll(head+"mx: mx.example.test\nmx: *.Example.NET\n", "\n", "\r\n"), "enforce [mx.example.test *.example.net] 24h0m0s"},
		{"mx:a\nmax_age:0\nmode:testing\nversion:STSv1", "testing [a] 0s"},
		{"version: \tSTSv1 \t\nmode: none\nmax_age: 31557600\n", "none [] 8766h0m0s"},
		{"\n\n" + head + "\r\nmx: a\n\n", "enforce [a] 24h0m0s"},
		{head + "mx: a\nmode: none\nversion: STSv9\nmax_age: x\n", "enforce [a] 24h0m0s"},
		{head + "mx: a\nx-y.z_1: ünï code: and more\n", "enforce [a] 24h0m0s"},
		{head, "!there is no field mx"},
		{"", "!there is no field version"},
		{"version: STSv1\nmx: a\nmode: enforce\n", "!there is no field max_age"},
		{"version: STSv1\nmx: a\nmax_age: 1\n", "!there is no field mode"},
		{"mode: none\nmax_age: 1\n", "!there is no field version"},
		{"version: STSv2\n", "!line 1: version \"STSv2\" is not STSv1"},
		{head + "Mode: x\nmx: a\nmode : testing\n", "!line 6, \"mode : testing\", is not of the form"},
		{"version: STSv1\nmode: Enforce\n", "!line 2: mode \"Enforce\" is not"},
		{"max_age: 31557601\n", "!is not a number of seconds up to 31557600"},
		{"max_age: -1\n", "!is not a number of seconds"},
		{"max_age: 1.5\n", "!is not a number of seconds"},
		{"max_age: 00000000001\n", "!is not a number of seconds"},
		{"max_age:\n", "!is not of the form"},
		{"<html>\n", "!line 1, \"<html>\", is not of the form"},
		{head + "mx: .example.test\n", "!is not a host name"},
		{head + "mx: *\n", "!is not a host name"},
		{head + "mx: *.*.example.test\n", "!is not a host name"},
		{head + "mx: m*.example.test\n", "!is not a host name"},
		{head + "mx: mx.example.test.\n", "!is not a host name"},
		{head + "mx: bücher.example\n", "!is not a host name"},
		{head + "mx: mx.example.test, b.example.test\n", "!is not a host name"},
		{head + "mx: -a.example\n", "!is not a host name"},
		{head + "mx: " + strings.Repeat("a.", 127) + "a\n", "!is not a host name"},
		{head + "mx: a\nx: \x01\n", "!is not of the form"},
		{head + "mx: a\nx: \xff\n", "!is not of the form"},
		{head + "mx: a\rx: b\n", "!is not of the form"},
		{head + "mx: a\n" + strings.Repeat("x: y\n", 1<<14), "!it is longer than 65536 bytes"},
	} {
		p, err := ParsePolicy([]byte(c.text))
		got := ""
		if err == nil {
			got = fmt.Sprint(p.Mode, p.MX, " ", p.MaxAge)
			got = strings.Replace(got, "[", " [", 1)
		}
		if !matches(got, err, c.want) {
			t.Errorf("%.80q: %s, %v\nwant %s", c.text, got, err, c.want)
		}
	}
	p, err := ParsePolicy([]byte(head + "\r\nmx: mx.example.test \r\n"))
	if want := []string{"version: STSv1", "mode: enforce", "max_age: 86400", "mx: mx.example.test"}; err != nil || !reflect.DeepEqual(p.Strings(), want) {
		t.Errorf("%q, %v", p.Strings(), err)
	}
	if p.MaxAge != 24*time.Hour {
		t.Error(p.MaxAge)
	}
}

// RFC 8461, section 4.1.
func TestMatch(t *testing.T) {
	p := &Policy{MX: []string{"mail.example.test", "*.example.net", "*.test"}}
	for mx, want := range map[string]bool{
		"mail.example.test": true, "MAIL.Example.Test.": true, "mail2.example.test": false, "a.mail.example.test": false,
		"a.example.net": true, "A.EXAMPLE.NET.": true, "example.net": false, "a.b.example.net": false, ".example.net": false,
		"*.example.net": true, "example.test": true, "test": false, "": false, ".": false,
	} {
		if got := p.Match(mx); got != want {
			t.Errorf("%q: %v", mx, got)
		}
	}
}
