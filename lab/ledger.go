package lab

import (
	"net"
	"slices"
	"sync"
	"time"

	"example.org/starttls"
	"example.org/starttls/internal/reflection"
)

// ledger keeps what a Reflector saw: of the last connections alone, and not for
// long.
type ledger struct {
	mu      sync.Mutex
	last    int64
	kept    []*kept
	changed chan struct{} // closed at each change, and then another
}

// kept is a connection in the ledger.
type kept struct {
	reflection.Connection
	protocol string
	tap      *reflection.Tap
	began    time.Time
}

const (
	mostKept = 256
	keptFor  = time.Minute
)

// begin notes a connection and gives it a number.
func (l *ledger) begin(p starttls.Protocol, nc net.Conn, tap *reflection.Tap) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	k := &kept{protocol: p.Info().Name, tap: tap, began: time.Now()}
	k.Number, k.From = l.last, nc.RemoteAddr().String()
	l.forget()
	l.kept = append(l.kept, k)
	l.tell()
	return l.last
}

// forget drops what is too old or too much.
func (l *ledger) forget() {
	l.kept = slices.DeleteFunc(l.kept, func(k *kept) bool { return time.Since(k.began) > keptFor })
	l.kept = slices.Delete(l.kept, 0, max(0, len(l.kept)-mostKept+1))
}

// end notes how it ended.
func (l *ledger) end(number int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.kept, func(k *kept) bool { return k.Number == number })
	if i < 0 {
		return
	}
	k := l.kept[i]
	k.Ended = "the client left"
	if err != nil {
		k.Ended, k.Closed = err.Error(), !byPeer(err)
	}
	l.tell()
}

func (l *ledger) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// after gives the connections that are asked for, and whether there are some and
// all have ended; changed is closed when that may be another answer.
func (l *ledger) after(q reflection.Question) (last int64, out []reflection.Connection, settled bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	for _, k := range l.kept {
		if q.After < 0 || k.Number <= q.After || k.protocol != q.Protocol || len(out) == reflection.MostTold {
			continue
		}
		c := k.Connection
		c.Came, c.Went, _ = k.tap.Seen()
		settled = (settled || len(out) == 0) && c.Ended != ""
		out = append(out, c)
	}
	return l.last, out, settled, l.changed
}
