package mta

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/starttls/lab"
	"example.org/starttls/policy/dnssec"
)

// open starts the lab at addresses that no other test is likely to use.
func open(t *testing.T, o Options) *Lab {
	t.Helper()
	o.First = netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(250)), byte(rand.IntN(250)), 1})
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func run(t *testing.T, l *Lab, client Client) map[string]lab.Result {
	t.Helper()
	rep, err := l.Run(t.Context(), RunOptions{Parallel: 32, Wait: 200 * time.Millisecond}, client)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]lab.Result{}
	for _, r := range rep.Results {
		out[r.Case] = r
	}
	return out
}

func describe(r lab.Result) string {
	return r.Case + ": " + string(r.Verdict) + " " + string(r.Score) + ": " + r.Detail + "; " + r.Client + "\n" + strings.Join(r.Evidence, "\n")
}

// A sender made of our own packages gives nothing away, gets everything where it
// should, and reports.
func TestCarefulIsClean(t *testing.T) {
	t.Parallel()
	l := open(t, Options{})
	for _, r := range run(t, l, newCareful(l).run) {
		if r.Verdict != lab.OK || r.Score != lab.Closed {
			t.Error(describe(r))
		}
	}
}

// A sender that obeys no policy is caught where the message must not go, and one
// that sends nothing where it must.
func TestCarelessIsCaught(t *testing.T) {
	t.Parallel()
	sends, sendsNot := open(t, Options{}), open(t, Options{})
	anything, nothing := run(t, sends, careless), run(t, sendsNot, timid)
	for _, c := range Catalogue() {
		last := c.stages[len(c.stages)-1].hosts
		a, n := anything[c.ID], nothing[c.ID]
		if told := strings.Join(a.Evidence, "\n"); strings.Contains(told, "secret") || !strings.Contains(told, "MAIL FROM:<a@example.test>") {
			t.Errorf("the evidence has the message, or lacks the commands: %s", describe(a))
		}
		score, verdict := lab.SecretTLS, lab.Vulnerable
		if c.should {
			verdict = lab.Warn
		}
		if last[0].hide {
			score = lab.Secrets
		}
		switch {
		case c.ID == HonestID:
			if a.Verdict != lab.OK {
				t.Error(describe(a))
			}
		case last[0].refuse || c.Mail != "":
			if a.Verdict != verdict || a.Score != score {
				t.Error(describe(a))
			}
		case c.ID == "sts-endless":
			if a.Verdict != lab.Warn {
				t.Error(describe(a))
			}
		}
		if c.ID != HonestID && c.must && n.Verdict != lab.Warn {
			t.Error(describe(n))
		}
	}
}

// Who only serves is told of each connection, and of each report.
func TestEachConnectionIsTold(t *testing.T) {
	t.Parallel()
	cases, err := Matching([]string{"dane-mismatch", "dane-match", "tlsrpt-https"})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan lab.Result, 10)
	l := open(t, Options{Cases: cases, OnResult: func(r lab.Result) { told <- r }})
	careful := newCareful(l)
	for _, c := range []struct {
		id, want string
		client   Client
	}{
		{"dane-match", "ok", careful.run},
		{"dane-match", "warn", func(ctx context.Context, c Call) lab.Ended {
			conn, err := dial(ctx, l, dnssec.At(l.DNS), "mx."+c.Domain, "mx."+c.Domain, true)
			if err == nil {
				conn.Close()
			}
			return ended(err)
		}},
		{"dane-mismatch", "ok", careful.run},
		{"dane-mismatch", "vulnerable", careless},
	} {
		s := l.sites[slices.IndexFunc(l.sites, func(s *site) bool { return s.ID == c.id })]
		how := c.client(t.Context(), Call{Case: s.Case, Domain: s.domain, To: "user@" + s.domain, Lab: l}).How
		if r := <-told; r.Case != c.id || string(r.Verdict) != c.want {
			t.Errorf("%s, want %s: %s", describe(r), c.want, how)
		}
	}
	s := l.sites[len(l.sites)-1]
	careful.run(t.Context(), Call{Case: s.Case, Domain: s.domain, To: "user@" + s.domain, Lab: l})
	both := (<-told).Detail + (<-told).Detail // in either order
	if !strings.Contains(both, "a report says that it failed: validation-failure") {
		t.Error(both)
	}
}

// What a sender that never comes proves is nothing.
func TestNobodyCame(t *testing.T) {
	t.Parallel()
	cases, err := Matching([]string{"dane-mi*", "tlsrpt-mail"})
	if err != nil || len(cases) != 3 {
		t.Fatal(cases, err)
	}
	for _, r := range run(t, open(t, Options{Cases: cases}), func(context.Context, Call) lab.Ended { return lab.Ended{How: "nothing"} }) {
		if r.Verdict != lab.Inconclusive {
			t.Error(describe(r))
		}
	}
	if _, err := Matching([]string{"nosuch-*"}); err == nil {
		t.Error("a pattern that stands for nothing is taken")
	}
}

// No case twice, each with its words.
func TestCatalogue(t *testing.T) {
	var seen []string
	for _, c := range Catalogue() {
		if slices.Contains(seen, c.ID) || c.Title == "" || !strings.HasPrefix(c.Does, "has ") || strings.HasSuffix(c.Does, ".") {
			t.Errorf("%s: twice, or without words", c.ID)
		}
		seen = append(seen, c.ID)
		if _, err := lab.Lookup(c.ID); err == nil {
			t.Errorf("%s: the lab has such a case", c.ID)
		}
		open := slices.ContainsFunc(c.stages[len(c.stages)-1].hosts, func(h host) bool { return !h.refuse })
		if open != c.must {
			t.Errorf("%s: it is not said whether the message must get there", c.ID)
		}
	}
}
