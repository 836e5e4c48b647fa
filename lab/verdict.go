package lab

import (
	"fmt"
	"strings"
)

// judge sums up what the sessions of a case had of a client.
func (r *Result) judge(c Case, expect Expect, sessions, trapped []gained) {
	r.Score, r.Detail = Closed, ""
	worsen := func(s Score, why string) {
		if s.rank() > r.Score.rank() || r.Detail == "" {
			r.Score, r.Detail = s, why
		}
	}
	var asked, spoke, late, upgraded, signedIn bool
	for _, g := range sessions {
		asked, spoke, late, upgraded = asked || g.asked, spoke || g.bytes > 0, late || g.late, upgraded || g.upgraded
		signedIn = signedIn || g.signedIn
		r.spokeInside = r.spokeInside || g.inside > 0
		for _, l := range g.leaks {
			r.Leaks = append(r.Leaks, l)
			worsen(l.score(), "gave away "+l.String())
		}
		if g.further > 0 {
			worsen(Harmless, "went on in clear, without a secret")
		}
		if g.stale != "" {
			worsen(Harmless, g.stale)
		}
		if g.believed != "" {
			worsen(Metadata, "believed what was said in clear: "+g.believed)
		}
		if g.inside > 0 && c.refusable() {
			worsen(Harmless, "went on inside TLS that it must refuse, and said nothing of interest there")
		}
	}
	for _, g := range trapped {
		worsen(Metadata, "went where it was sent in clear")
		for _, l := range g.leaks {
			r.Leaks = append(r.Leaks, l)
			worsen(l.score(), "went where it was sent in clear, and gave away "+l.String())
		}
	}
	if late {
		worsen(Metadata, "went on inside TLS before it was answered there: it took what came in clear for the answer")
	}
	r.upgraded, r.late, r.signedIn = upgraded, late, signedIn
	r.glues = c.lies[0].glues
	if r.panicked {
		worsen(Harmless, "ended by a "+r.Client)
	}
	r.Verdict = verdict(c, expect, r.Score, late || hasBelieved(sessions))
	switch {
	case r.Detail != "":
	case len(sessions) == 0:
		r.Verdict, r.Detail = Inconclusive, "the client never connected"
	case !spoke:
		r.Detail = "nothing was given away; the client left without a word"
	case upgraded && (c.refusable() || !r.spokeInside):
		r.Detail = "nothing was given away; it left after the handshake"
	case upgraded:
		r.Detail = "nothing was given away; the session went on inside sound TLS"
	case asked:
		r.Detail = "nothing was given away"
	default:
		r.Detail = "nothing was given away; the client did not ask for TLS"
	}
}

func hasBelieved(sessions []gained) bool {
	for _, g := range sessions {
		if g.believed != "" {
			return true
		}
	}
	return false
}

// verdict puts a score in words. What an opportunistic client gives to somebody
// on the path who refuses it TLS, or has a certificate of his own, is what it
// was asked for; what it takes from cleartext into TLS is not.
func verdict(c Case, expect Expect, s Score, believed bool) Verdict {
	switch {
	case s.rank() == 0:
		return OK
	case s.rank() == 1:
		return Warn
	case expect == Opportunistic && !believed && !c.injects:
		return Info
	}
	return Vulnerable
}

// settle compares results with those of the two honest cases: a client that
// gets nowhere with a sound server proves nothing by getting nowhere, and one
// that never waits for an answer proves nothing by not waiting.
func settle(results []Result) {
	works, eager, signsIn := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range results {
		works[r.Protocol] = works[r.Protocol] || r.Case == honestID && r.upgraded
		signsIn[r.Protocol] = signsIn[r.Protocol] || r.Case == honestID && r.signedIn
		eager[r.Protocol] = eager[r.Protocol] || r.Case == controlID && r.late
	}
	for i := range results {
		r := &results[i]
		switch {
		case r.Case == honestID && !r.upgraded:
			r.Verdict, r.Detail = Inconclusive, "the client gets nowhere with an honest server: "+r.Client
		case !works[r.Protocol] && (r.Verdict == OK || r.Verdict == Warn):
			r.Verdict, r.Detail = Inconclusive, "the client gets nowhere with an honest server either"
		case r.glues && r.spokeInside && !r.signedIn && signsIn[r.Protocol]:
			r.Verdict, r.Score, r.Detail = Vulnerable, Metadata, "got nowhere inside TLS: it glued what was said in clear to the first line there"
		case r.late && eager[r.Protocol]:
			r.Verdict, r.Score, r.Detail = Inconclusive, Closed, "the client does not wait for answers inside TLS, lie or no lie"
		}
	}
}

// Summary counts verdicts, worst first.
func (r Report) Summary() string {
	n := map[Verdict]int{}
	for _, x := range r.Results {
		n[x.Verdict]++
	}
	var out []string
	for _, v := range []Verdict{Vulnerable, Warn, Info, Inconclusive, Skipped, OK} {
		if n[v] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[v], v))
		}
	}
	return fmt.Sprintf("%d cases: %s", len(r.Results), strings.Join(out, ", "))
}

// ExitCode is 1 where the client fell for a case, 3 where nothing could be told,
// else 0.
func (r Report) ExitCode() int {
	told := false
	for _, x := range r.Results {
		if x.Verdict == Vulnerable {
			return 1
		}
		told = told || x.Verdict != Inconclusive && x.Verdict != Skipped
	}
	if r.Error != "" || !told {
		return 3
	}
	return 0
}
