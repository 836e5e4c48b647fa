package mta

import (
	"context"
	"crypto/x509"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.org/starttls/lab"
)

// Call is what a sender is told: to send one message.
type Call struct {
	Case
	Run    int    // the how manieth message to the domain, from 0
	Domain string // whose mail servers are to be found in the DNS
	To     string // the recipient, in the domain
	Lab    *Lab
}

// Client has a sender send one message, and returns when that has taken it. It
// must be safe for several calls at a time.
type Client func(ctx context.Context, c Call) lab.Ended

// RunOptions say how long senders are waited for. Zero fields mean the default
// in brackets.
type RunOptions struct {
	Parallel int           // cases at a time (8)
	Wait     time.Duration // for a sender that says nothing, once a Client has returned (5 s)

	// Skip says why a case is not to be run; "" or nil: it is.
	Skip func(Case) string

	OnResult func(lab.Result) // told of each case as it ends, one at a time; may be nil
}

func (o RunOptions) withDefaults() RunOptions {
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	if o.Wait <= 0 {
		o.Wait = 5 * time.Second
	}
	return o
}

// Run has a sender meet each case of the lab, and says how it fared.
func (l *Lab) Run(ctx context.Context, o RunOptions, client Client) (lab.Report, error) {
	o = o.withDefaults()
	rep := lab.Report{Schema: lab.Schema, Expect: lab.Required, Results: make([]lab.Result, len(l.sites))}
	var all sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, o.Parallel)
	for i, s := range l.sites {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			r := s.run(ctx, o, client)
			mu.Lock()
			defer mu.Unlock()
			rep.Results[i] = r
			if o.OnResult != nil {
				o.OnResult(r)
			}
		})
	}
	all.Wait()
	settle(rep.Results)
	return rep, ctx.Err()
}

// run has the sender send a message in each stage, and waits for it.
func (s *site) run(ctx context.Context, o RunOptions, client Client) lab.Result {
	start := time.Now()
	if o.Skip != nil {
		if why := o.Skip(s.Case); why != "" {
			r := s.result(nil)
			r.Verdict, r.Detail = lab.Skipped, why
			return r
		}
	}
	var ended lab.Ended
	for n := range s.stages {
		if now, _ := s.now(); now < n {
			break
		}
		ended = client(ctx, Call{Case: s.Case, Run: n, Domain: s.domain, To: "user@" + s.domain, Lab: s.lab})
		s.await(ctx, n, o.Wait)
	}
	r := s.judge()
	r.Client, r.Log = ended.How, ended.Log
	r.Millis = time.Since(start).Milliseconds()
	return r
}

// await waits until it is decided how the n-th message fared, or until nothing
// was seen for a while.
func (s *site) await(ctx context.Context, n int, wait time.Duration) {
	silence := time.NewTimer(wait)
	defer silence.Stop()
	for !s.decided(n) {
		select {
		case <-s.events:
			silence.Reset(wait)
		case <-silence.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// decided reports whether nothing more is to be waited for: the message came,
// where it should or not.
func (s *site) decided(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.seen.sessions {
		if g.stage == n && g.messages > 0 {
			return true
		}
	}
	return len(s.seen.reports) > 0
}

// Fill puts what is so into the words of a command: {domain} and {rcpt} of the
// case, {dns}, {resolver}, {port} and {https} of the lab, {mail} and {header} that
// the message is to be sent with, {case}, and {ca}, the file of the root to trust.
func (c Call) Fill(ca string) *strings.Replacer {
	return strings.NewReplacer("{domain}", c.Domain, "{rcpt}", c.To, "{dns}", c.Lab.DNS, "{resolver}", c.Lab.Resolver,
		"{port}", strconv.Itoa(c.Lab.Port), "{https}", strconv.Itoa(c.Lab.HTTPS), "{mail}", c.Mail, "{header}", c.Header, "{case}", c.ID, "{ca}", ca)
}

// Roots are those that senders are to trust.
func (l *Lab) Roots() *x509.CertPool { return l.pki.trusted.Pool() }
