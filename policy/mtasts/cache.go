package mtasts

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Cache remembers policies for as long as they say, and failures to fetch one
// for five minutes. The zero value does so in memory; with Dir, policies
// outlive the process. It is safe for concurrent use.
type Cache struct {
	Dir string // one file for each domain; it must exist

	mu     sync.Mutex
	known  map[string]entry
	failed map[string]failure
}

// entry is a policy as it was fetched.
type entry struct {
	policy  *Policy
	id      string
	fetched time.Time
}

// Expires is when the policy must be forgotten.
func (e entry) expires() time.Time { return e.fetched.Add(e.policy.MaxAge) }

type failure struct {
	id  string
	at  time.Time
	err error
}

// backOff is how long a fetch that failed is not tried again, unless the id
// changes (RFC 8461, section 3.3).
const backOff = 5 * time.Minute

// stored is the form of a file.
type stored struct {
	ID      string    `json:"id"`
	Fetched time.Time `json:"fetched"`
	Policy  string    `json:"policy"`
}

// get returns the policy of the domain that has not expired, if there is one.
func (c *Cache) get(domain string) (e entry, ok bool, err error) {
	if c == nil {
		return entry{}, false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok = c.known[domain]; !ok && c.Dir != "" {
		if e, err = c.load(domain); err == nil {
			ok = true
			c.remember(domain, e)
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if ok && !time.Now().Before(e.expires()) {
		delete(c.known, domain)
		return entry{}, false, err
	}
	return e, ok, err
}

func (c *Cache) remember(domain string, e entry) {
	if c.known == nil {
		c.known = map[string]entry{}
	}
	now := time.Now()
	for d, old := range c.known {
		if !now.Before(old.expires()) {
			delete(c.known, d)
		}
	}
	c.known[domain] = e
}

// put remembers a policy in the place of an older one.
func (c *Cache) put(domain string, e entry) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failed, domain)
	c.remember(domain, e)
	if c.Dir == "" {
		return nil
	}
	b, err := json.Marshal(stored{e.id, e.fetched.UTC(), e.policy.Text})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(c.Dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	if err == nil {
		err = os.Rename(f.Name(), c.file(domain))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// file is where a domain's policy is kept; domain is a host name.
func (c *Cache) file(domain string) string { return filepath.Join(c.Dir, domain+".json") }

func (c *Cache) load(domain string) (entry, error) {
	f, err := os.Open(c.file(domain))
	if err != nil {
		return entry{}, err
	}
	defer f.Close()
	var s stored
	if err := json.NewDecoder(io.LimitReader(f, 8*maxLength)).Decode(&s); err != nil {
		return entry{}, err
	}
	p, err := ParsePolicy([]byte(s.Policy))
	return entry{p, s.ID, s.Fetched}, err
}

// fail remembers that a fetch failed.
func (c *Cache) fail(domain string, f failure) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = map[string]failure{}
	}
	for d, old := range c.failed {
		if time.Since(old.at) >= backOff {
			delete(c.failed, d)
		}
	}
	c.failed[domain] = f
}

// recent returns why the last fetch failed, if it is too early for the next.
func (c *Cache) recent(domain, id string) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.failed[domain]; ok && f.id == id && time.Since(f.at) < backOff {
		return f.err
	}
	return nil
}
