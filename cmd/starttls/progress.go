package main

import (
	"sync"

	"example.org/starttls/check"

	"github.com/schollz/progressbar/v3"
)

// progress is a bar on a terminal's stderr, with what is being probed and why it
// waits; elsewhere it is nothing.
type progress struct {
	mu   sync.Mutex
	bar  *progressbar.ProgressBar // nil: nobody looks
	seen map[string]check.Progress
}

func (a *app) newProgress(quiet bool) *progress {
	p := &progress{seen: map[string]check.Progress{}}
	if !quiet && isTerminal(a.err) {
		p.bar = progressbar.NewOptions(1, progressbar.OptionSetWriter(a.err), progressbar.OptionClearOnFinish(),
			progressbar.OptionShowCount(), progressbar.OptionSetWidth(20), progressbar.OptionSetPredictTime(false))
	}
	return p
}

// tell takes down where the check of one target is.
func (p *progress) tell(now check.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		return
	}
	if now.Of == 0 { // its tests are not counted yet, or it waits
		now.Done, now.Of = p.seen[now.Target].Done, p.seen[now.Target].Of
	}
	p.seen[now.Target] = now
	done, of := 0, 0
	for _, s := range p.seen {
		done += s.Done
		of += max(s.Of, 1)
	}
	p.bar.ChangeMax(max(of, done+1)) // a bar that is full is finished
	p.bar.Describe(now.Target + " " + now.Doing)
	p.bar.Set(done)
}

func (p *progress) end() {
	if p.bar != nil {
		p.bar.Finish()
	}
}
