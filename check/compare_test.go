package check

import (
	"slices"
	"testing"
)

// whole is a result as a good server has it.
func whole() Result {
	return Result{
		Target: "smtp://mx.example.test:25", Address: "192.0.2.1:25", Verdict: "ok", Outcome: Upgraded, Level: "verify",
		StartTLS:    StartTLS{Before: []string{"STARTTLS", "SIZE"}, After: []string{"SIZE"}},
		TLS:         TLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Group: "X25519MLKEM768"},
		Certificate: Certificate{Verified: true, Chain: []Cert{{Issuer: "CN=good", NotAfter: "2027-01-01T00:00:00Z", SPKISHA256: "aa"}}},
		Policy:      Policy{Level: "dane"},
	}
}

func TestCompare(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *Result)
		want   []Change // without what it was and is
		out    Outcome
	}{
		"nothing":                  {func(r *Result) {}, nil, Upgraded},
		"an order of capabilities": {func(r *Result) { slices.Reverse(r.StartTLS.Before) }, nil, Upgraded},
		"renewed": {func(r *Result) { r.Certificate.Chain[0].NotAfter = "2028-01-01T00:00:00Z" },
			[]Change{{What: "certificate's end", Whose: "certificate"}}, Upgraded},
		"stripped": {func(r *Result) { r.Outcome, r.Level = Stripped, "none" },
			[]Change{{What: "outcome", Whose: "path", Worse: true}, {What: "level", Whose: "path", Worse: true}}, Stripped},
		"switched off": {func(r *Result) { r.Outcome, r.Level = NotOffered, "none" },
			[]Change{{What: "outcome", Whose: "server", Worse: true}, {What: "level", Whose: "server", Worse: true}}, NotOffered},
		"expired": {func(r *Result) {
			r.Level, r.Certificate.Verified = "encrypt", false
			r.Findings = []Finding{{ID: "cert-expired", Severity: High, Verdict: Vulnerable}}
		}, []Change{{What: "level", Whose: "certificate", Worse: true}, {What: "certificate verifies", Whose: "certificate", Worse: true}, {What: "finding", Whose: "server", Worse: true}}, Upgraded},
		"intercepted": {func(r *Result) {
			r.Level, r.Certificate = "encrypt", Certificate{Chain: []Cert{{Issuer: "CN=somebody", NotAfter: "2027-01-01T00:00:00Z", SPKISHA256: "bb"}}}
			r.Findings = []Finding{{ID: "cert-untrusted", Severity: Low, Verdict: Warn}}
		}, []Change{{What: "outcome", Whose: "path", Worse: true}, {What: "level", Whose: "path", Worse: true}, {What: "certificate's key", Whose: "certificate"},
			{What: "certificate's issuer", Whose: "certificate"}, {What: "certificate verifies", Whose: "certificate", Worse: true}, {What: "finding", Whose: "server"}}, Intercepted},
		"older TLS": {func(r *Result) { r.TLS.Version = "TLS 1.2" }, []Change{{What: "TLS version", Whose: "server", Worse: true}}, Upgraded},
		"no DANE":   {func(r *Result) { r.Policy.Level = "may" }, []Change{{What: "policy", Whose: "policy", Worse: true}}, Upgraded},
	} {
		t.Run(name, func(t *testing.T) {
			before, now := Report{Results: []Result{whole()}}, Report{Results: []Result{whole()}}
			c.change(&now.Results[0])
			Compare(&before, &now)
			r := now.Results[0]
			var got []Change
			for _, ch := range r.Changes {
				got = append(got, Change{What: ch.What, Whose: ch.Whose, Worse: ch.Worse})
			}
			if !slices.Equal(got, c.want) || r.Outcome != c.out {
				t.Errorf("%s: %+v", r.Outcome, r.Changes)
			}
			worse := slices.ContainsFunc(c.want, func(c Change) bool { return c.Worse })
			if code := now.ExitCode(High); (code == 1) != (worse || now.Results[0].Findings != nil && name == "expired") {
				t.Errorf("exit code %d", code)
			}
		})
	}
}
