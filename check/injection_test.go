package check

import (
	"slices"
	"sync"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/hostile"
	"example.org/starttls/protocol"
)

// In every protocol, a server that drops what comes in clear behind the request
// has no fault at the boundary, and one that carries it over has that one.
func TestInjectionInEveryProtocol(t *testing.T) {
	ca := newCA(t)
	cfg := issue(t, ca, nil, name)
	fine := func(id string) bool { return id == "auth-before-tls" } // which has nothing to do with it
	run := func(p starttls.Protocol, f hostile.Fault) (Result, []string) {
		at := faulty(t, p, cfg, func(*heard) hostile.Fault { return f })
		r := Run(t.Context(), at, Options{Roots: ca.Pool(), Name: name, Timeout: 5 * time.Second})
		return r, slices.DeleteFunc(ids(r), fine)
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8) // most of the time somebody waits for the end of somebody's patience
	for _, p := range protocol.All() {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if r, found := run(p, hostile.Fault{}); r.Outcome != Upgraded || len(found) > 0 {
				t.Errorf("%s, careful: %s, %q", p.Info().Name, r.Outcome, found)
			}
			if r, found := run(p, hostile.Fault{Keep: hostile.All}); !slices.Contains(found, "inject-segment") {
				t.Errorf("%s, careless: %s, %q", p.Info().Name, r.Outcome, found)
			}
		})
	}
	wg.Wait()
}
