package starttls

import (
	"context"
	"net"
	"sync"
	"time"
)

// NewListener returns a listener whose Accept gives connections of l that were
// brought to the resume point of p by [Server], as *Conn. Upgrades run side by
// side: a slow client never holds up the next. What fails is logged to
// cfg.Logger and closed. It accepts from l from the first call of Accept on;
// Close closes l, drops the upgrades under way and waits for them to end.
func NewListener(l net.Listener, p Protocol, cfg *Config) net.Listener {
	c := config(cfg)
	if c.MaxPending <= 0 {
		c.MaxPending = 1000
	}
	c.TLS = baseTLS(c, p.Info()) // once, so that sessions can be resumed
	ctx, cancel := context.WithCancelCause(context.Background())
	return &listener{Listener: l, protocol: p, config: c, ctx: ctx, cancel: cancel,
		ready: make(chan *Conn), slots: make(chan struct{}, c.MaxPending)}
}

type listener struct {
	net.Listener
	protocol Protocol
	config   *Config
	ctx      context.Context
	cancel   context.CancelCauseFunc
	start    sync.Once
	ready    chan *Conn
	slots    chan struct{} // one for each upgrade under way
	upgrades sync.WaitGroup
}

func (l *listener) Accept() (net.Conn, error) {
	l.start.Do(func() { l.upgrades.Go(l.acceptLoop) })
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
}

func (l *listener) Close() error {
	l.cancel(net.ErrClosed)
	err := l.Listener.Close()
	l.start.Do(func() {})
	l.upgrades.Wait()
	return err
}

// acceptLoop accepts until l is closed, or until accepting fails for good.
func (l *listener) acceptLoop() {
	pause := time.Duration(0)
	for {
		select {
		case l.slots <- struct{}{}:
		case <-l.ctx.Done():
			return
		}
		nc, err := l.Listener.Accept()
		if err == nil {
			pause = 0
			l.upgrades.Go(func() { l.upgrade(nc) })
			continue
		}
		<-l.slots
		if t, ok := err.(interface{ Temporary() bool }); !ok || !t.Temporary() || l.ctx.Err() != nil {
			l.cancel(err) // does nothing after Close, whose reason stays
			return
		}
		// Out of file descriptors, most often: waiting is all that helps.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
			return
		}
	}
}

func (l *listener) upgrade(nc net.Conn) {
	defer func() { <-l.slots }()
	c, err := Server(l.ctx, nc, l.protocol, l.config)
	if err != nil {
		return // logged
	}
	select {
	case l.ready <- c:
	case <-l.ctx.Done():
		c.Close()
	}
}
