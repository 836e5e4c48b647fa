package mtasts

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"
)

// refresh is how often a policy is fetched anew though its id has not changed
// (RFC 8461, section 3.3), so that whoever suppresses the fetch has to do it
// for the whole of max_age.
const refresh = 24 * time.Hour

// State is what is known of a domain's policy.
type State struct {
	Policy  *Policy   // that is in force; nil if none is
	ID      string    // of the record it was fetched for
	Expires time.Time // when it is in force no more, unless fetched anew
	Cached  bool      // it was not fetched just now

	// Err is why there is no policy, or none newer than the cached one:
	// ErrNoRecord, or an *Error, which is to be reported. A policy in force
	// stays so, whatever Err says (section 5.1).
	Err error
}

// Get finds the policy of a domain. It looks up the domain's record, and
// fetches the policy if that has another id than the cached one, or if that is
// older than a day.
func (c *Client) Get(ctx context.Context, domain string) State {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if !hostName().MatchString(domain) {
		return State{Err: &Error{domain, errors.New("not a domain name"), fetchError}}
	}
	cached, known, errCache := c.Cache.get(domain)
	s := State{}
	if known {
		s = State{Policy: cached.policy, ID: cached.id, Expires: cached.expires(), Cached: true}
	}
	var resolver TXTResolver = net.DefaultResolver
	if c.Resolver != nil {
		resolver = c.Resolver
	}
	record, err := LookupRecord(ctx, resolver, domain)
	switch {
	case err != nil:
		s.Err = err
	case !known || record.ID != cached.id || time.Since(cached.fetched) >= refresh:
		s = c.renew(ctx, domain, record.ID, s)
	}
	if errCache != nil {
		s.Err = errors.Join(s.Err, errCache)
	}
	return s
}

// renew fetches the policy, and leaves the old state as it is if that fails.
func (c *Client) renew(ctx context.Context, domain, id string, s State) State {
	if s.Err = c.Cache.recent(domain, id); s.Err != nil {
		return s
	}
	p, err := c.Fetch(ctx, domain)
	now := time.Now()
	if err != nil {
		if ctx.Err() == nil { // else it was not the policy host that failed
			c.Cache.fail(domain, failure{id, now, err})
		}
		s.Err = err
		return s
	}
	e := entry{p, id, now}
	return State{Policy: p, ID: id, Expires: e.expires(), Err: c.Cache.put(domain, e)}
}
