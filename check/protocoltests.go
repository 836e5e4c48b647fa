package check

import (
	"context"
	"time"

	"example.org/starttls"
)

// protocolTests are the tests that only the target's protocol has.
func (r *run) protocolTests() []test {
	tester, ok := r.target.Protocol.(starttls.Tester)
	if !ok || r.target.Implicit {
		return nil
	}
	var out []test
	for _, t := range tester.Tests() {
		out = append(out, test{id: t.ID, level: Level(t.Level + 1), try: func(ctx context.Context, r *run) trial { return r.protocolTest(ctx, t) }})
	}
	return out
}

// protocolTest makes one of them, on a connection of its own.
func (r *run) protocolTest(ctx context.Context, t starttls.Test) trial {
	v := r.visit(ctx, func(c *starttls.Config) {
		c.Bare, c.BeforeAsk = true, t.Before
		if t.Clear {
			c.Mode = starttls.None
		}
	})
	if v.err != nil {
		return r.notMade(ctx, v.err)
	}
	defer v.conn.Close()
	v.conn.SetDeadline(time.Now().Add(r.options.Timeout))
	w := starttls.NewWire(ctx, v.conn, starttls.WireConfig{ServerName: r.options.Name, LocalName: r.options.Local, TLS: !t.Clear, Upgraded: !t.Clear})
	defer w.Release()
	verdict, err := t.Run(w)
	switch {
	case err != nil:
		return r.notMade(ctx, err)
	case verdict.Fault:
		return trial{verdict: Warn, detail: verdict.Detail, evidence: append(lines(v.conn.Transcript()), lines(w.Transcript())...)}
	}
	return trial{verdict: Passed, detail: verdict.Detail}
}
