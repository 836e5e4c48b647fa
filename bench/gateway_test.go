package bench

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

var (
	gateways = flag.Bool("gateways", false, "measure the gateway beside stunnel, nginx mail and ghostunnel; run it with taskset -c 1")
	sessions = flag.Int("sessions", 600, "sessions in one measurement")
	idlers   = flag.Int("idlers", 2000, "idle sessions whose memory is measured")
	megs     = flag.Int("bulk", 200, "megabytes in one direction")
	part     = flag.String("part", "", "measure that alone whose name begins so: sessions, resumed, latency, bulk, guard or memory")
)

// The gateways, by the names in the table.
const (
	ours      = "starttls, X25519"
	oursPQ    = "starttls, X25519MLKEM768"
	oursPlain = "starttls, TLS from the first byte"
	stunnel   = "stunnel, X25519"
	nginx     = "nginx mail, X25519, no backend"
	nginxMail = "nginx mail, X25519, MAIL and RCPT"
	ghost     = "ghostunnel, TLS from the first byte"
	guard     = "starttls, mode guard"
	bare      = "bare splice"
)

// compared are pairs: the other gateway's figure divided by ours.
var compared = [][2]string{{stunnel, ours}, {stunnel, oursPQ}, {nginx, ours}, {nginxMail, ours}, {ghost, oursPlain}, {bare, guard}}

// TestGateways prints tables; it asserts nothing. The rounds go through all
// gateways in turn, forwards and backwards, and a ratio is made within a round.
func TestGateways(t *testing.T) {
	if !*gateways {
		t.Skip("-gateways is not given")
	}
	r := newRig(t)
	for _, x := range []struct {
		part, key string
		peers     []string
		run       func(*testing.T, *results, *rig, []*peer)
	}{
		{"sessions, ecdsa", "ecdsa", []string{ours, oursPQ, stunnel, nginx, nginxMail, oursPlain, ghost}, measureSessions("CPU of a session, ECDSA", nil)},
		{"sessions, rsa", "rsa", []string{ours, oursPQ, stunnel, nginx, nginxMail, oursPlain, ghost}, measureSessions("CPU of a session, RSA-2048", nil)},
		{"resumed", "ecdsa", []string{ours, stunnel, nginx, oursPlain, ghost}, measureSessions("CPU of a resumed session", tls.NewLRUClientSessionCache)},
		{"latency", "ecdsa", []string{ours, oursPQ, stunnel, nginx, oursPlain, ghost}, measureLatency},
		{"bulk", "ecdsa", []string{ours, stunnel, nginxMail, oursPlain, ghost}, measureBulk},
		{"guard", "ecdsa", []string{guard, bare}, measureBulk},
	} {
		if !strings.HasPrefix(x.part, *part) {
			continue
		}
		peers := r.start(t, x.key, x.peers...)
		var out results
		x.run(t, &out, r, peers)
		out.print(os.Stdout)
		for _, p := range peers {
			p.stop()
		}
	}
	if *part == "" || *part == "memory" {
		var out results
		for _, name := range []string{ours, stunnel, nginxMail, oursPlain, ghost} {
			for _, p := range r.start(t, "ecdsa", name) {
				r.memory(t, p, &out)
				p.stop()
			}
		}
		out.print(os.Stdout)
	}
}

// eachRound runs one for every peer, in turn.
func eachRound(peers []*peer, one func(*peer)) {
	for i := range *rounds {
		order := slices.Clone(peers)
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, p := range order {
			one(p)
		}
	}
}

func measureSessions(what string, cache func(int) tls.ClientSessionCache) func(*testing.T, *results, *rig, []*peer) {
	return func(t *testing.T, out *results, r *rig, peers []*peer) {
		for _, p := range peers {
			if cache != nil {
				p.cache = cache(1)
			}
			r.sessions(t, p, atOnce) // what is made once, and the first ticket
			p.resumed.Store(0)
		}
		eachRound(peers, func(p *peer) { out.add(what, p.name, "us", r.sessions(t, p, *sessions)) })
		for _, p := range peers {
			if p.cache != nil {
				out.add("resumed, of 100", p.name, "", 100*float64(p.resumed.Load())/float64(*rounds**sessions))
			}
		}
	}
}

func measureLatency(t *testing.T, out *results, r *rig, peers []*peer) {
	eachRound(peers, func(p *peer) { out.add("time to a session, idle gateway", p.name, "ms", r.latency(t, p)) })
}

func measureBulk(t *testing.T, out *results, r *rig, peers []*peer) {
	eachRound(peers, func(p *peer) {
		up, down, speed := r.bulk(t, p)
		out.add("CPU of bulk, up", p.name, "ms/MB", up)
		out.add("CPU of bulk, down", p.name, "ms/MB", down)
		out.add("CPU of bulk, mean of both", p.name, "ms/MB", (up+down)/2)
		out.add("bulk, both directions", p.name, "MB/s", speed)
	})
}

// results are the values of all rounds.
type results struct {
	what []string
	of   map[string][]series
}

type series struct {
	name, unit string
	values     []float64
}

func (r *results) add(what, name, unit string, v float64) {
	if r.of == nil {
		r.of = map[string][]series{}
	}
	if r.of[what] == nil {
		r.what = append(r.what, what)
	}
	for i := range r.of[what] {
		if s := &r.of[what][i]; s.name == name {
			s.values = append(s.values, v)
			return
		}
	}
	r.of[what] = append(r.of[what], series{name, unit, []float64{v}})
}

// print gives median and quartiles of the values, and of the ratios.
func (r *results) print(to io.Writer) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	defer w.Flush()
	for _, what := range r.what {
		values := map[string][]float64{}
		for _, s := range r.of[what] {
			values[s.name] = slices.Clone(s.values)
			low, middle, high := quartiles(s.values)
			fmt.Fprintf(w, "%s\t%s\t%.2f %s\t(%.2f to %.2f)\n", what, s.name, middle, s.unit, low, high)
		}
		for _, p := range compared {
			if a, b := values[p[0]], values[p[1]]; len(a) > 1 && len(a) == len(b) {
				low, middle, high := quartiles(divide(a, b))
				fmt.Fprintf(w, "%s\t%s / %s\t%.2f\t(%.2f to %.2f)\n", what, p[0], p[1], middle, low, high)
			}
		}
	}
	fmt.Fprintln(w)
}
