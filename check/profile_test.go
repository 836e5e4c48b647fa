package check

import (
	"crypto/tls"
	"os"
	"slices"
	"strings"
	"testing"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

func TestBuiltinProfiles(t *testing.T) {
	for _, name := range Profiles() {
		p, ok := BuiltinProfile(name)
		if !ok || p.About == "" || len(p.Source) == 0 || p.FailOn == "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	page, err := os.ReadFile("../docs/profiles.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Profiles() {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/profiles.md does not tell of %s", name)
		}
	}
	if _, ok := BuiltinProfile("nothing"); ok {
		t.Error("there is one of any name")
	}
}

func TestParseProfileBad(t *testing.T) {
	for text, want := range map[string]string{
		"fail-on = ":                             "line 1: ",
		"fail_on = \"low\"":                      `"fail_on" is no key`,
		"fail-on = \"bad\"":                      `fail-on "bad"`,
		"min-version = \"1.2\"":                  `min-version "1.2": it is TLS 1.2 or TLS 1.3`,
		"require = \"none\"":                     `require "none"`,
		"[severity]\nold-tls = \"terrible\"":     `severity of old-tls: "terrible"`,
		"[severity]\ncert-expire = \"high\"":     "did you mean cert-expire",
		"[severity]\nqqq = \"high\"":             `no finding is called "qqq"`,
		"[severity]\nold-tls = 3":                "severity",
		"about = \"x\"\nabout = \"y\"":           "line 2",
		"[severity]\nold-tls = \"off\"\n[other]": `"other" is no key`,
	} {
		if _, err := ParseProfile([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// A profile weighs findings anew, leaves them out, and asks for a level.
func TestProfileWeighs(t *testing.T) {
	ca := newCA(t)
	at := serve(t, protocol.Submission, &starttls.Config{TLS: issue(t, newCA(t), nil, "other.example.test").TLS})
	for text, want := range map[string]string{
		"": "cert-name high vulnerable, cert-untrusted high vulnerable",
		"[severity]\ncert-name = \"off\"\ncert-untrusted = \"low\"":   "cert-untrusted low warn",
		"[severity]\ncert-name = \"info\"\ncert-untrusted = \"info\"": "",
		"require = \"verify\"\n[severity]\ncert-name = \"off\"":       "cert-untrusted high vulnerable, level-too-low high vulnerable",
	} {
		p, err := ParseProfile([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r := Run(t.Context(), at, Options{Roots: ca.Pool(), Name: name, Level: Passive, Profile: p})
		var got []string
		for _, f := range r.Findings {
			if f.Bad() {
				got = append(got, f.ID+" "+string(f.Severity)+" "+string(f.Verdict))
			}
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%q: %s", text, s)
		}
		if (r.Verdict == "ok") != (want == "") {
			t.Errorf("%q: verdict %s", text, r.Verdict)
		}
	}
}

// The oldest version that a profile allows is the oldest that a server may accept.
func TestProfileMinVersion(t *testing.T) {
	ca := newCA(t)
	for accepts, allowed := range map[uint16][]string{tls.VersionTLS12: {"TLS 1.2"}, tls.VersionTLS13: {"TLS 1.2", "TLS 1.3"}} {
		c := issue(t, ca, nil, name)
		c.TLS.MinVersion = accepts
		at := serve(t, protocol.Submission, c)
		for version := range versions {
			p, err := ParseProfile([]byte("min-version = \"" + version + "\""))
			if err != nil {
				t.Fatal(err)
			}
			r := Run(t.Context(), at, Options{Roots: ca.Pool(), Name: name, Level: Handshake, Profile: p})
			if found := slices.Contains(ids(r), "version-too-low"); found == slices.Contains(allowed, version) {
				t.Errorf("%s and newer accepted, %s demanded: %v", tls.VersionName(accepts), version, ids(r))
			}
		}
	}
}
