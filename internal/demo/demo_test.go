package demo

import (
	"context"
	"testing"

	"example.org/starttls/check"
)

func TestEveryServerGetsItsVerdict(t *testing.T) {
	d, err := Start(t.Context(), false)
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

// A verdict that is wrong either way is seen: nothing found, too much, and
// another outcome.
func TestJudge(t *testing.T) {
	found := func(ids ...string) check.Result {
		r := check.Result{Outcome: check.Upgraded}
		for _, id := range ids {
			r.Findings = append(r.Findings, check.Finding{ID: id, Severity: check.Low})
		}
		return r
	}
	for _, c := range []struct {
		want   []string
		result check.Result
		right  bool
	}{
		{nil, found(), true},
		{nil, check.Result{Outcome: check.TimedOut}, false},
		{nil, found("old-tls"), false},
		{[]string{"old-tls"}, found("old-tls"), true},
		{[]string{"old-tls"}, found("cert-name"), false},
		{[]string{"old-tls"}, found("old-tls", "cert-name"), false},
		{[]string{"old-tls", "cert-name"}, found("cert-name", "old-tls"), true},
		{[]string{"old-tls"}, found(), false},
		{[]string{"old-tls"}, found("old-tls", "may-follow"), true},
		{nil, found("may-follow"), true},
		{[]string{"old-tls"}, found("may-follow"), false},
	} {
		if why := (Server{Want: c.want, Also: []string{"may-follow"}, Outcome: check.Upgraded}).Judge(c.result); (why == "") != c.right {
			t.Errorf("want %q, %+v: %q", c.want, c.result, why)
		}
	}
}
