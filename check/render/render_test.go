package render

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"example.org/starttls/check"
)

const hostile = "x\x1b[2J\x07\u202e\r\ny"

// hostileReport has a hostile peer's words wherever there is room for them.
func hostileReport() check.Report {
	return check.Report{Schema: check.Schema, Results: []check.Result{{
		Target: "smtp://mx.example.test:25", Address: "192.0.2.1:25", Verdict: "findings", Outcome: check.Upgraded, Level: "encrypt", Against: check.Against{Eavesdropper: "safe", Attacker: "exposed"},
		StartTLS: check.StartTLS{Required: "no", Before: []string{"SIZE", hostile}, After: []string{"SIZE", "AUTH PLAIN"}},
		TLS:      check.TLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Group: "X25519MLKEM768", ALPN: hostile},
		Certificate: check.Certificate{Error: "it is for " + hostile, Chain: []check.Cert{{
			Names: []string{hostile}, Issuer: "CN=" + hostile, Key: "ECDSA P-256", NotAfter: "2030-01-01T00:00:00Z"}}},
		Exposed:  []check.Exposed{{What: "server software", Text: hostile}},
		Findings: []check.Finding{{ID: "cert-name", Severity: check.High, Title: "A title", Detail: hostile + ` got "\\x00"` + strings.Repeat(" word", 40), Fix: "do it"}},
		Error:    &check.Error{Stage: "session", Message: hostile, Hint: "a hint"},
	}}}
}

func TestTextEscapesThePeersWords(t *testing.T) {
	var b strings.Builder
	if err := Text(&b, hostileReport(), Options{}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x07\u202e\r") {
		t.Errorf("%q", b.String())
	}
	if strings.Count(b.String(), `\x1b[2J`) != 8 {
		t.Errorf("not all of the peer's words are shown:\n%s", b.String())
	}
}

func TestTextIsAligned(t *testing.T) {
	var b strings.Builder
	Text(&b, hostileReport(), Options{})
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		switch {
		case i == 0 && !strings.HasPrefix(line, "BAD  smtp://mx.example.test:25  TLS 1.3, certificate not verified"):
			t.Errorf("the answer does not come first: %q", line)
		case i > 0 && (!strings.HasPrefix(line, "  ") || len(line) > screenWidth):
			t.Errorf("line %d: %q", i, line)
		}
	}
	for _, want := range []string{"\n  inside TLS   SIZE, +AUTH PLAIN, -x", "\n  required     no: ", "\n  high   A title (cert-name)\n         x", `got "\\x00"`, "\n         word", "\n         fix: do it\n", "\n  hint         a hint\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestColourOnlyWhereAskedFor(t *testing.T) {
	r := hostileReport()
	r.Results[0].Verdict = "ok"
	var plain, coloured strings.Builder
	Text(&plain, r, Options{})
	Text(&coloured, r, Options{Color: true})
	if !strings.HasPrefix(coloured.String(), "\x1b[32mok  \x1b[0m ") || strings.Contains(plain.String(), "\x1b") {
		t.Errorf("%q", coloured.String())
	}
}

func TestJSONComesBack(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, hostileReport(), Options{}); err != nil {
		t.Fatal(err)
	}
	var back check.Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.Schema != check.Schema || back.Results[0].StartTLS.Before[1] != hostile {
		t.Errorf("%v %+v", err, back)
	}
}

// The names are a contract: they may be added to, never renamed.
func TestNamesOfTheContract(t *testing.T) {
	var b bytes.Buffer
	JSON(&b, hostileReport(), Options{})
	for _, name := range strings.Fields("schema results target protocol address server_name verdict starttls offered accepted before after " +
		"tls version cipher group alpn certificate verified error chain subject issuer names not_before not_after key sha256 spki_sha256 " +
		"exposed what text findings id severity title detail evidence references fix stage message hint outcome level " +
		"against eavesdropper attacker policy milliseconds dial cleartext handshake total") {
		if !strings.Contains(b.String(), `"`+name+`":`) {
			t.Errorf("no %q", name)
		}
	}
}

// A test that could not tell does not look like one that found something.
func TestTextSaysWhatIsNotKnown(t *testing.T) {
	r := check.Report{Results: []check.Result{
		{Target: "smtp://a:25", Verdict: "failed", Outcome: check.TimedOut, Error: &check.Error{Stage: "handshake", Message: "no end within 10s"}},
		{Target: "smtp://b:25", Verdict: "ok", Outcome: check.Upgraded, Findings: []check.Finding{{ID: "starttls-twice", Severity: check.Info, Verdict: check.Inconclusive, Title: "A title", Detail: "it hangs"}}},
	}}
	s := written(t, "text", r)
	for _, want := range []string{"???  smtp://a:25  timed-out at the stage handshake: no end within 10s\n", "\n  unsure A title (starttls-twice)\n         it hangs\n"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
}

// The dialogue is that of the tests too, in which things were injected.
func TestTranscriptShowsEvidence(t *testing.T) {
	r := hostileReport()
	f := &r.Results[0].Findings[0]
	f.Verdict, f.Evidence = check.Vulnerable, []string{"C: STARTTLS", "C: EHLO M1.invalid", "S~ 250 M1 " + hostile}
	evidence := "\n         C: STARTTLS\n         C: EHLO M1.invalid\n         S~ 250 M1 x\\x1b[2J"
	if strings.Contains(written(t, "text", r), evidence) {
		t.Error("it is shown unasked")
	}
	r.Results[0].Transcript = []string{"S: 220 x"}
	if s := written(t, "text", r); !strings.Contains(s, evidence) || strings.Contains(s, "\x1b") {
		t.Errorf("no %q in\n%s", evidence, s)
	}
}
