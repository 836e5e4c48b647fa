package gateway

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
)

// Run serves until ctx ends, and then lets the sessions end. At SIGHUP it reads
// its configuration again, by reread; at SIGUSR2 it starts the program anew,
// with the sockets, and ends like at the end of ctx when that is ready.
func (g *Gateway) Run(ctx context.Context, reread func() (Config, error)) error {
	if os.Getenv("GOGC") == "" {
		// Most of a busy gateway's memory is idle sessions: let garbage be a small
		// part of it. But with few of them that would be a collection for every few
		// handshakes; what is never touched, and so takes no memory, makes the heap
		// look larger.
		debug.SetGCPercent(20)
		ballast := make([]byte, 64<<20)
		defer runtime.KeepAlive(ballast)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, restart)
	defer signal.Stop(signals)
	sockets, err := inherited()
	if err != nil {
		return err
	}
	g.Inherit(sockets)
	if err := g.Start(); err != nil {
		return err
	}
	g.unlinkPaths(true)
	g.log.Info("ready", "listeners", len(g.cfg.Listeners), "pid", os.Getpid())
	tellReady()
	var watching sync.WaitGroup
	watch, stop := context.WithCancel(ctx)
	watching.Go(func() { g.Watch(watch) })
	g.serve(ctx, signals, reread)
	stop()
	watching.Wait()
	notify("STOPPING=1")
	g.log.Info("draining")
	cut := g.Shutdown()
	g.log.Info("ended", "sessions_cut", cut)
	return nil
}

// serve waits for signals, and returns when the gateway is to end.
func (g *Gateway) serve(ctx context.Context, signals <-chan os.Signal, reread func() (Config, error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			if s == restart {
				if err := g.handOver(ctx); err != nil {
					g.log.Error("no restart; going on", "err", err)
					continue
				}
				return
			}
			cfg, err := reread()
			if err == nil {
				err = g.Reload(cfg)
			}
			if err != nil {
				g.log.Error("the configuration stays as it was", "err", err)
				continue
			}
			g.log.Info("configuration read again")
		}
	}
}
