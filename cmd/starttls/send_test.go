package main

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// told closes seen when it is told of something.
type told struct {
	what string
	seen chan struct{}
}

func (w *told) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.what) {
		close(w.seen)
	}
	return len(b), nil
}

// The dialogue is shown as it goes: the greeting of a server that says nothing
// more is seen while the server is still waited for.
func TestSendShowsAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	shown := &told{"S: 220 thinking", make(chan struct{})}
	atOnce := make(chan bool, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		io.WriteString(nc, "220 thinking\r\n")
		select {
		case <-shown.seen:
			atOnce <- true
		case <-time.After(10 * time.Second):
			atOnce <- false
		}
	}()
	if code := run([]string{"send", "--server", "smtp://" + l.Addr().String(), "--from", "a@example.test", "--to", "b@example.test"}, strings.NewReader(""), io.Discard, shown); code == exitClean {
		t.Error("it was sent")
	}
	if !<-atOnce {
		t.Error("the greeting was not shown while the server was waited for")
	}
}
