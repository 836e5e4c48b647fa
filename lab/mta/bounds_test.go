package mta

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A sender that always says something, and never anything of use, is not heard
// for ever.
func TestSlowSendersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		start := time.Now()
		var sender sync.WaitGroup
		sender.Go(func() {
			io.WriteString(a, "EHLO client.example.test\r\nMAIL FROM:<a@example.test>\r\n")
			for {
				time.Sleep(quiet / 2)
				if _, err := io.WriteString(a, "NOOP\r\n"); err != nil {
					return
				}
			}
		})
		sender.Go(func() { io.Copy(io.Discard, a) })
		new(session).serve(context.Background(), b, mailServer{name: "mx.example.test", hide: true, active: func() {}})
		took := time.Since(start)
		a.Close()
		sender.Wait()
		if took < quiet || took > whole {
			t.Errorf("it ended after %v", took)
		}
	})
}

// One connection too many waits until another has ended.
func TestConnectionsAreBounded(t *testing.T) {
	l, err := Open(t.Context(), Options{Cases: Catalogue()[:1]})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Served()[0].Addrs[0]
	greeted := func(within time.Duration) (net.Conn, error) {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		nc.SetDeadline(time.Now().Add(within))
		_, err = fmt.Fscanf(nc, "220 ")
		return nc, err
	}
	var last net.Conn
	for i := range most {
		if last, err = greeted(10 * time.Second); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	late, err := greeted(50 * time.Millisecond)
	if err == nil {
		t.Error("one connection too many is greeted")
	}
	last.Close()
	late.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fscanf(late, "220 "); err != nil {
		t.Error("it is not greeted when there is room:", err)
	}
}
