package check

import (
	"strings"
	"testing"
)

func TestCompareAddresses(t *testing.T) {
	at := func(address string, edit func(*Result)) Result {
		r := whole()
		r.Address = address
		r.Certificate.Chain[0].Key = "ECDSA P-256"
		if edit != nil {
			edit(&r)
		}
		return r
	}
	for name, c := range map[string]struct {
		edit func(*Result)
		want string
	}{
		"the same":             {nil, ""},
		"another kind of key":  {func(r *Result) { r.Certificate.Chain[0].Key, r.Certificate.Chain[0].SPKISHA256 = "RSA 2048", "bb" }, ""},
		"another key":          {func(r *Result) { r.Certificate.Chain[0].SPKISHA256 = "bb" }, "another key"},
		"older TLS":            {func(r *Result) { r.TLS.Version = "TLS 1.2" }, "TLS TLS 1.3, here TLS 1.2"},
		"no TLS":               {func(r *Result) { r.Outcome = NotOffered }, "outcome upgraded, here not-offered"},
		"other capabilities":   {func(r *Result) { r.StartTLS.Before = []string{"STARTTLS"} }, "before TLS"},
		"another target":       {func(r *Result) { r.Target, r.Outcome = "smtp://other:25", NotOffered }, ""},
		"not to be told about": {func(r *Result) { r.Verdict, r.Outcome = "failed", TimedOut }, ""},
	} {
		results := []Result{at("192.0.2.1:25", nil), at("192.0.2.2:25", c.edit)}
		CompareAddresses(results)
		f := results[1].Findings
		if c.want == "" && len(f) > 0 || c.want != "" && (len(f) != 1 || f[0].ID != "addresses-differ" || !strings.Contains(f[0].Detail, c.want) || results[1].Verdict != "findings") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
