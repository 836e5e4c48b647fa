package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"example.org/starttls"
)

// test is one thing to try on a server that holds a handshake.
type test struct {
	id      string
	level   Level
	full    bool // only where everything is asked for
	outside bool // it needs no session inside TLS
	times   int  // how often it is tried; the worst counts
	try     func(ctx context.Context, r *run) trial
}

// trial is what one try found.
type trial struct {
	verdict  Verdict
	severity Severity // "": as the catalogue has it
	title    string   // "": as the catalogue has it
	detail   string
	evidence []string
}

// sideBySide is how many connections of tests there are at a time.
const sideBySide = 6

// share is the part of them that the tests have, and that the enumeration has
// where there is one.
func (r *run) share() int {
	if r.options.Full {
		return sideBySide / 2
	}
	return sideBySide
}

// tests runs all tests that the options ask for, side by side, and takes down
// what they found in the order they stand in.
func (r *run) tests(ctx context.Context) {
	todo := []test{{id: "old-tls", level: Handshake, outside: true, try: func(ctx context.Context, r *run) trial { return r.olderThan(ctx, tls.VersionTLS12) }}}
	if p := r.options.Profile; p != nil && p.MinVersion != "" {
		todo = append(todo, test{id: "version-too-low", level: Handshake, outside: true, try: func(ctx context.Context, r *run) trial { return r.olderThan(ctx, versions[p.MinVersion]) }})
	}
	if len(r.options.Names) > 0 {
		todo = append(todo, test{id: "cert-other-names", level: Handshake, outside: true, try: func(ctx context.Context, r *run) trial { return r.otherNames(ctx) }})
	}
	if r.options.Online && len(r.served) > 0 {
		todo = append(todo, test{id: "cert-revoked", level: Passive, outside: true, try: func(ctx context.Context, r *run) trial { return r.online(ctx) }})
	}
	if r.options.Level >= ActiveProbes {
		todo = append(todo, r.boundaryTests(ctx)...)
		todo = append(todo, test{id: "opossum", level: ActiveProbes, try: func(ctx context.Context, r *run) trial { return r.opossum(ctx) }})
	}
	todo = append(todo, r.tlsTests()...)
	todo = append(todo, r.protocolTests()...)
	todo = append(todo, r.sequenceTests()...)
	todo = slices.DeleteFunc(todo, func(t test) bool { return t.level > r.options.Level || t.full && !r.options.Full })
	if !r.lives {
		skipInside(todo)
	}
	trials := make([][]trial, len(todo))
	var wg sync.WaitGroup
	var done atomic.Int32
	slots := make(chan struct{}, r.share())
	for i, t := range todo {
		trials[i] = make([]trial, max(1, t.times))
		for n := range trials[i] {
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				r.progress(int(done.Load()), len(todo), t.id)
				trials[i][n] = t.try(ctx, r)
				if n == 0 {
					r.progress(int(done.Add(1)), len(todo), t.id)
				}
			})
		}
	}
	wg.Wait()
	for i, t := range todo {
		r.take(t.id, worst(trials[i]))
	}
}

// skipInside takes the place of the tests that have no session to be made in.
func skipInside(todo []test) {
	for i := range todo {
		if !todo[i].outside {
			todo[i].times, todo[i].try = 1, func(context.Context, *run) trial {
				return trial{verdict: Skipped, detail: "the session does not live inside TLS"}
			}
		}
	}
}

// worst is the trial that counts.
func worst(trials []trial) trial {
	return slices.MinFunc(trials, func(a, b trial) int {
		return slices.Index(verdicts, a.verdict) - slices.Index(verdicts, b.verdict)
	})
}

// take makes a finding of a trial.
func (r *run) take(id string, t trial) {
	if t.verdict == "" { // there was nothing to test
		return
	}
	e := find(id)
	severity := t.severity
	switch {
	case t.verdict != Vulnerable && t.verdict != Warn:
		severity = Info
	case severity == "":
		if severity = e.severity[r.role()]; severity == Info {
			t.verdict = Noted
		} else if severity == High {
			t.verdict = Vulnerable
		}
	}
	e.title = cmp.Or(t.title, e.title)
	r.append(e, severity, t.verdict, t.detail, t.evidence)
}

// notMade is the trial of a test that could not be made, because its connection
// failed before there was anything to judge.
func (r *run) notMade(ctx context.Context, err error) trial {
	var e *starttls.Error
	detail := err.Error()
	if errors.As(err, &e) {
		detail = "at the stage " + string(e.Stage) + ": " + e.Err.Error()
	}
	switch {
	case errors.Is(err, starttls.ErrNoObject):
		return trial{}
	case errors.Is(err, errSpent), errors.Is(err, errThrottled), ctx.Err() != nil:
		return trial{verdict: Skipped, detail: detail}
	}
	return trial{verdict: Inconclusive, detail: detail}
}
