package check

import (
	"fmt"
	"slices"
	"strings"
)

// CompareAddresses adds a finding to each result of a target that answers at
// another address in another way: with another outcome, certificate, version or
// list of capabilities. Behind a name should stand one service.
func CompareAddresses(results []Result) {
	first := map[string]*Result{}
	for i := range results {
		r := &results[i]
		if r.Verdict == "failed" {
			continue
		}
		f := first[r.Target]
		if f == nil {
			first[r.Target] = r
			continue
		}
		if d := differences(*f, *r); len(d) > 0 {
			e := find("addresses-differ")
			r.Findings = append([]Finding{{ID: e.id, Severity: e.severity[0], Verdict: Warn, Title: e.title, Detail: "at " + f.Address + " it is otherwise: " + strings.Join(d, "; "),
				Evidence: []string{}, References: append([]string{}, e.refs...), Fix: e.fix}}, r.Findings...)
			if r.Verdict == "ok" {
				r.Verdict = "findings"
			}
		}
	}
}

// differences says what of b is not as in a. Keys may differ by kind: a server
// can have one of each, and serve now the one and now the other.
func differences(a, b Result) (out []string) {
	differ := func(what, x, y string) {
		if x != y {
			out = append(out, fmt.Sprintf("%s %s, here %s", what, x, y))
		}
	}
	differ("outcome", string(a.Outcome), string(b.Outcome))
	if a.Outcome != b.Outcome {
		return out
	}
	differ("TLS", a.TLS.Version, b.TLS.Version)
	if len(a.Certificate.Chain) > 0 && len(b.Certificate.Chain) > 0 {
		c, d := a.Certificate.Chain[0], b.Certificate.Chain[0]
		if c.SPKISHA256 != d.SPKISHA256 && c.Key == d.Key {
			out = append(out, "the certificate has another key")
		}
		differ("verified", fmt.Sprint(a.Certificate.Verified), fmt.Sprint(b.Certificate.Verified))
	}
	if !slices.Equal(slices.Sorted(slices.Values(a.StartTLS.Before)), slices.Sorted(slices.Values(b.StartTLS.Before))) {
		out = append(out, "it offers "+list(a.StartTLS.Before)+" before TLS, here "+list(b.StartTLS.Before))
	}
	return out
}
