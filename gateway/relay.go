package gateway

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"example.org/starttls"
)

// end is one side of a relay, at the resume point.
type end struct {
	conn  net.Conn // TLS, or the socket; on a rare connection the *starttls.Conn
	below *conn    // the connection below it; nil if it is not to be had
	tls   bool
	first []byte // read by now, and not passed on
}

// sideOf makes an end of a connection and of a wire over it, whose life ends.
// Where nothing stands between, it holds on to TLS or to the socket alone: what
// else is known of the connection need not be kept for the length of a session.
func sideOf(c *starttls.Conn, below *conn, w *starttls.Wire) *end {
	e := &end{conn: c, below: below, tls: c.TLS() != nil, first: w.Ahead()}
	w.Release()
	switch {
	case e.tls && c.Conn == net.Conn(c.TLS()):
		e.conn = c.TLS()
	case !e.tls && c.Conn == net.Conn(below):
		e.conn = below
	case !e.tls:
		e.below = nil // bytes read ahead stand before it
	}
	return e
}

const small = 256 // bytes that a waiting reader of TLS holds

// each gives f all that comes. Above TLS it waits with a small buffer, and takes
// the rest of the record, which is there, into a large one.
func (e *end) each(f func([]byte) error) error {
	if len(e.first) > 0 {
		if err := f(e.first); err != nil {
			return err
		}
		e.first = nil
	}
	if !e.tls && e.below != nil {
		return e.below.each(f)
	}
	little := make([]byte, small)
	for {
		n, err := e.conn.Read(little)
		if n == small && err == nil {
			err = e.rest(little, f)
		} else if n > 0 {
			if ferr := f(little[:n]); ferr != nil {
				return ferr
			}
		}
		if err != nil {
			return err
		}
	}
}

func (e *end) rest(little []byte, f func([]byte) error) error {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	n := copy(buf[:], little)
	k, err := e.conn.Read(buf[n:])
	if ferr := f(buf[:n+k]); ferr != nil {
		return ferr
	}
	return err
}

func (e *end) write(b []byte) error {
	if e.tls && e.below != nil && len(b) > 16<<10 {
		return e.below.whole(func() error {
			_, err := e.conn.Write(b)
			return err
		})
	}
	_, err := e.conn.Write(b)
	return err
}

func (e *end) closeWrite() error {
	if w, ok := e.conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// relay joins two ends until both have nothing more to say.
type relay struct {
	client, backend     *end
	toBackend, toClient starttls.Filter
	idle                time.Duration // without a byte in either direction
	linger              time.Duration // for the second side to end, once the first has
	kernel              bool          // the bytes are no concern of ours: see splice

	up, down atomic.Int64          // bytes passed on
	active   atomic.Int64          // when the last byte passed, in Unix seconds
	cause    atomic.Pointer[error] // why it ended, if not in good order
	ended    atomic.Int32          // sides that have nothing more to say
	done     func()

	mu    sync.Mutex
	timer *time.Timer
}

var (
	errIdle     = errors.New("no byte in either direction for too long")
	errNoNotify = errors.New("TLS broke off without close_notify")
)

// start runs r; done is called when both connections are closed.
func (r *relay) start(done func()) {
	r.done = done
	r.active.Store(time.Now().Unix())
	r.mu.Lock()
	r.timer = time.AfterFunc(r.idle, r.checkIdle)
	r.mu.Unlock()
	go r.pump(r.client, r.backend, r.toBackend, &r.up)
	go r.pump(r.backend, r.client, r.toClient, &r.down)
}

func (r *relay) checkIdle() {
	limit, cause := r.idle, errIdle
	if r.ended.Load() > 0 {
		limit, cause = r.linger, nil
	}
	idle := time.Since(time.Unix(r.active.Load(), 0))
	if idle >= limit {
		r.stop(cause)
		return
	}
	r.again(limit - idle)
}

func (r *relay) again(in time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer.Reset(in)
}

// stop ends both sides at once. What is cut off must not look complete, to
// neither side: TLS has no close_notify then, and TCP a reset.
func (r *relay) stop(cause error) {
	if cause != nil && r.cause.CompareAndSwap(nil, &cause) {
		r.client.below.breakOff()
		r.backend.below.breakOff()
	}
	r.client.conn.Close()
	r.backend.conn.Close()
}

// copy passes on all that comes, by filter if there is one.
func (r *relay) copy(from, to *end, filter starttls.Filter, count *atomic.Int64) error {
	return from.each(func(b []byte) error {
		r.active.Store(time.Now().Unix())
		if filter != nil {
			var err error
			if b, err = filter(b); err != nil {
				return &filterError{err}
			}
		}
		if len(b) == 0 {
			return nil
		}
		count.Add(int64(len(b)))
		return to.write(b)
	})
}

func (r *relay) pump(from, to *end, filter starttls.Filter, count *atomic.Int64) {
	var err error
	if r.kernel {
		err = r.splice(from, to, count)
	} else {
		err = r.copy(from, to, filter, count)
	}
	// Only what was ended in good order is passed on as an end: a TLS connection
	// that breaks off without close_notify may have been cut by an attacker.
	if errors.Is(err, io.EOF) && from.tls && from.below != nil && from.below.eof {
		err = errNoNotify
	}
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || to.closeWrite() != nil {
		r.stop(unlessClosed(err))
	}
	if r.ended.Add(1) == 1 {
		r.again(min(r.idle, r.linger))
		return
	}
	r.stop(nil)
	r.mu.Lock()
	r.timer.Stop()
	r.mu.Unlock()
	r.done()
}

// unlessClosed drops what is no news: the other pump has closed the connection.
func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// filterError is a session that a filter has ended.
type filterError struct{ err error }

func (e *filterError) Error() string { return "the session was cut: " + e.err.Error() }
func (e *filterError) Unwrap() error { return e.err }
