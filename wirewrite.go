package starttls

import (
	"context"
	"time"
)

// Write writes b as one segment.
func (w *Wire) Write(b []byte) (int, error) {
	w.note(w.cfg.Side, b)
	n, err := w.conn.Write(b)
	return n, w.cause(err)
}

// WriteLine writes s and CRLF as one segment.
func (w *Wire) WriteLine(s string) error {
	_, err := w.Write([]byte(s + "\r\n"))
	return err
}

// Ask writes the request for TLS. What the peer sent before it and was not
// read is no answer to it and makes Ask fail with an InjectedError: a server
// must not have answered before it was asked (CVE-2026-42246).
func (w *Wire) Ask(msg []byte) error {
	if w.cfg.BeforeAsk != nil {
		if err := w.cfg.BeforeAsk(w); err != nil {
			return err
		}
	}
	if ahead := w.Ahead(); len(ahead) > 0 {
		return &InjectedError{From: w.peer(), Bytes: ahead}
	}
	w.asked = true
	return w.segments(msg, w.cfg.OnAsk)
}

// GoAhead writes the server's consent to TLS.
func (w *Wire) GoAhead(msg []byte) error { return w.segments(msg, w.cfg.OnGoAhead) }

// Asked reports whether the request for TLS was written.
func (w *Wire) Asked() bool { return w.asked }

func (w *Wire) segments(msg []byte, hook func([]byte) []Segment) error {
	todo := []Segment{{Data: msg}}
	if hook != nil {
		todo = hook(msg)
	}
	for _, s := range todo {
		if s.Delay > 0 {
			t := time.NewTimer(s.Delay)
			select {
			case <-t.C:
			case <-w.ctx.Done():
				t.Stop()
				return context.Cause(w.ctx)
			}
		}
		if len(s.Data) == 0 {
			continue
		}
		if _, err := w.Write(s.Data); err != nil {
			return err
		}
	}
	return nil
}

// Refused counts a command that a server's half refused; past Limits.Errors it
// returns a LimitError, and the half should give up.
func (w *Wire) Refused() error {
	if w.refusals++; w.refusals > w.limits.Errors {
		return &LimitError{"refused commands", w.limits.Errors}
	}
	return nil
}
