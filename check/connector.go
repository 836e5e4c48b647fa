package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"example.org/starttls"
)

// connector opens the connections of one check. A server is no anvil: off
// loopback they are paced, there is a limit to their number, and a server that
// asks for less gets a rest.
type connector struct {
	open func(ctx context.Context, network, addr string) (net.Conn, error)
	most int           // connections in all
	gap  time.Duration // at least, between the beginnings of two

	waits func(why string) // is told why nothing happens for a while; may be nil

	mu        sync.Mutex
	used      int
	next      time.Time // when the next one may begin
	rests     int
	throttled error // why the server is left alone from now on
}

// errSpent is what a test gets when no connection is left for it.
var errSpent = errors.New("the connections that one check may make to a server are used up (--max-connections)")

// errThrottled is what a test gets once the server is left alone for good.
var errThrottled = errors.New("the server wants fewer connections")

// rest is how long a server that throttles is left alone: the first time, the
// second time, and the last.
var rest = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}

const gapOffLoopback = 100 * time.Millisecond

func newConnector(o Options, addr string) *connector {
	c := &connector{open: o.Dialer, most: o.MaxConnections, gap: gapOffLoopback}
	if c.open == nil {
		c.open = new(net.Dialer).DialContext
	}
	if c.most <= 0 {
		if c.most = 25; o.Full {
			c.most = 250
		}
	}
	if host, _, err := net.SplitHostPort(addr); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
			c.gap = 0
		}
	}
	return c
}

// turn takes one of the connections, and waits until it may begin.
func (c *connector) turn(ctx context.Context) error {
	wait, err := c.take()
	if err != nil || wait == 0 {
		return err
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *connector) take() (time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.throttled != nil {
		return 0, c.throttled
	}
	if c.used >= c.most {
		return 0, errSpent
	}
	c.used++
	now := time.Now()
	if c.next.Before(now) {
		c.next = now
	}
	wait := c.next.Sub(now)
	c.next = c.next.Add(c.gap)
	return wait, nil
}

// slowDown notes that the server refused a connection for being one too many,
// and reports whether to try again after a rest.
func (c *connector) slowDown(why error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.throttled != nil {
		return false
	}
	if c.rests == len(rest) || c.used >= c.most {
		c.throttled = fmt.Errorf("%w: %w", errThrottled, why)
		return false
	}
	now := time.Now()
	if c.next.After(now.Add(rest[c.rests] / 2)) { // another test has just noticed the same
		return true
	}
	c.next = now.Add(rest[c.rests])
	c.gap = max(2*c.gap, gapOffLoopback) // those that wait would else all come at once again
	if c.waits != nil {
		c.waits(fmt.Sprintf("waiting %v, the server wants fewer connections", rest[c.rests]))
	}
	c.rests++
	return true
}

// connections is how many were made so far.
func (c *connector) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// throttles reports whether err is a server's way to say that it has had enough
// of us: a temporary refusal before TLS was asked for.
func throttles(err error) bool {
	var e *starttls.Error
	var refused *starttls.RefusedError
	return errors.As(err, &e) && e.Stage == starttls.StageCleartext && !e.Asked && errors.As(err, &refused) && refused.Temporary
}
