package check

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A server that wants fewer connections gets a rest, and then not all that have
// waited at once.
func TestThrottledConnectionsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConnector(Options{}, "127.0.0.1:25")
		if a, b := waits(t, c), waits(t, c); a != 0 || b != 0 {
			t.Errorf("on loopback, before: %v, %v", a, b)
		}
		for i, gap := range []time.Duration{gapOffLoopback, 2 * gapOffLoopback} {
			time.Sleep(time.Minute)
			if !c.slowDown(errors.New("421")) {
				t.Fatal("it gives up")
			}
			if a, b := waits(t, c), waits(t, c); a != rest[i] || b != a+gap {
				t.Errorf("throttled for the %d. time: %v, %v", i+1, a, b)
			}
		}
	})
}

func waits(t *testing.T, c *connector) time.Duration {
	t.Helper()
	d, err := c.take()
	if err != nil {
		t.Fatal(err)
	}
	return d
}
