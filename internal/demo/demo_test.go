package demo

import (
	"context"
	"testing"

	"example.org/starttls/check"
)

func TestEveryServerGetsItsVerdict(t *testing.T) {
	d, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i, r := range d.Check(context.Background(), check.Options{Transcript: true}) {
		if why := d.Servers[i].Judge(r); why != "" {
			t.Errorf("%s %s: %s\n%+v", r.Protocol, d.Servers[i].Fault, why, r)
		}
	}
}

// A verdict that is wrong either way is seen: nothing found, and too much.
func TestJudge(t *testing.T) {
	found := func(ids ...string) check.Result {
		r := check.Result{Verdict: "findings"}
		for _, id := range ids {
			r.Findings = append(r.Findings, check.Finding{ID: id, Severity: check.Low})
		}
		return r
	}
	for _, c := range []struct {
		want   string
		result check.Result
		right  bool
	}{
		{"", check.Result{Verdict: "ok"}, true},
		{"", check.Result{Verdict: "failed"}, false},
		{"", found("old-tls"), false},
		{"old-tls", found("old-tls"), true},
		{"old-tls", found("cert-name"), false},
		{"old-tls", found("old-tls", "cert-name"), false},
		{"old-tls", check.Result{Verdict: "ok"}, false},
	} {
		if why := (Server{Want: c.want}).Judge(c.result); (why == "") != c.right {
			t.Errorf("want %q, %+v: %q", c.want, c.result, why)
		}
	}
}
