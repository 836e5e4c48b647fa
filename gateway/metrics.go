package gateway

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"example.org/starttls"
)

// metrics are what /metrics shows.
type metrics struct {
	registry    *prometheus.Registry
	connections *prometheus.CounterVec
	before      *prometheus.GaugeVec
	sessions    *prometheus.GaugeVec
	handshakes  *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	injections  *prometheus.CounterVec
	bytes       *prometheus.CounterVec
	expiry      *prometheus.GaugeVec
	hellos      *prometheus.CounterVec
	offers      *prometheus.GaugeVec
	changes     *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "starttls_gateway_" + name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "starttls_gateway_" + name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.connections = counter("connections_total", "Connections that have ended, by how.", "listener", "outcome")
	m.before = gauge("before_session", "Connections that have no session yet: in clear, in the handshake, or waiting for the backend.", "listener")
	m.sessions = gauge("sessions", "Sessions under way.", "listener")
	m.handshakes = counter("handshakes_total", "TLS handshakes, by side.", "listener", "side", "version", "cipher", "group", "resumed")
	m.injections = counter("injections_total", "Cleartext that tried to cross into TLS, by who sent it.", "listener", "from")
	m.bytes = counter("bytes_total", "Bytes passed on inside sessions that have ended.", "listener", "direction")
	m.expiry = gauge("certificate_not_after_seconds", "When a certificate ends, in Unix time.", "listener", "name")
	m.hellos = counter("client_hellos_total", "TLS that clients began through a guard, by the highest version that they offer.", "listener", "version", "sni")
	m.offers = gauge("backend_offers_tls", "Whether the server behind a guard offered TLS when it was last seen.", "listener")
	m.changes = counter("backend_offer_changes_total", "How often that was otherwise than before.", "listener", "offers")
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "starttls_gateway_phase_seconds", Help: "How long a phase took.",
		Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30}}, []string{"listener", "phase"})
	m.registry.MustRegister(m.seconds, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) joined(s *session) {
	m.before.WithLabelValues(s.Name).Dec()
	m.sessions.WithLabelValues(s.Name).Inc()
	t := s.known.times
	m.seconds.WithLabelValues(s.Name, "clear").Observe(t.Cleartext.Seconds())
	m.seconds.WithLabelValues(s.Name, "handshake").Observe(t.Handshake.Seconds())
	m.seconds.WithLabelValues(s.Name, "backend").Observe(s.known.dialled.Seconds())
	m.handshake(s.Name, "client", s.known.client)
	m.handshake(s.Name, "backend", s.known.backend)
	if h := s.known.seen.hello; h.version != 0 {
		m.hellos.WithLabelValues(s.Name, h.versionName(), yesNo(h.name != "")).Inc()
	}
}

// offer notes whether a guard's server offers TLS.
func (m *metrics) offer(name string, offered, changed bool) {
	value := map[bool]float64{true: 1}[offered]
	m.offers.WithLabelValues(name).Set(value)
	if changed {
		m.changes.WithLabelValues(name, yesNo(offered)).Inc()
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (m *metrics) handshake(name, side string, c *tls.Conn) {
	if c == nil {
		return
	}
	t := c.ConnectionState()
	m.handshakes.WithLabelValues(name, side, tls.VersionName(t.Version), tls.CipherSuiteName(t.CipherSuite), t.CurveID.String(), yesNo(t.DidResume)).Inc()
}

func (m *metrics) ended(s *session, how string) {
	m.connections.WithLabelValues(s.Name, how).Inc()
	if !s.settled {
		m.before.WithLabelValues(s.Name).Dec()
	}
	if r := s.relay.Load(); r != nil {
		m.sessions.WithLabelValues(s.Name).Dec()
		m.bytes.WithLabelValues(s.Name, "up").Add(float64(r.up.Load()))
		m.bytes.WithLabelValues(s.Name, "down").Add(float64(r.down.Load()))
	}
}

// injected counts what was caught at the boundary.
func (m *metrics) injected(s *session, err error) {
	var e *starttls.InjectedError
	if errors.As(err, &e) {
		m.injections.WithLabelValues(s.Name, e.From.String()).Inc()
	}
}

func (m *metrics) certificates(services []*service) {
	m.expiry.Reset()
	for _, s := range services {
		if s.certs == nil {
			continue
		}
		for _, c := range s.certs.now.Load().all {
			m.expiry.WithLabelValues(s.Name, strings.Join(c.Leaf.DNSNames, ",")).Set(float64(c.Leaf.NotAfter.Unix()))
		}
	}
}

// statusServer answers /metrics, /healthz and, if asked for, /debug/pprof.
type statusServer struct {
	http.Server
	net.Listener
	addr string
}

// openStatus opens the status page's socket, where that has changed. The caller
// holds mu.
func (g *Gateway) openStatus() (*statusServer, error) {
	old := g.status
	if old != nil && old.addr == g.cfg.Status {
		return old, nil
	}
	var next *statusServer
	if g.cfg.Status != "" {
		l, ok := g.given[g.cfg.Status]
		if delete(g.given, g.cfg.Status); !ok {
			var err error
			if l, err = listen(g.cfg.Status); err != nil {
				return nil, err
			}
		}
		next = &statusServer{addr: g.cfg.Status, Listener: l}
		next.Handler, next.ReadHeaderTimeout = g.statusPages(), 10*time.Second
		go next.Serve(l)
	}
	if old != nil {
		old.Server.Close()
	}
	return next, nil
}

func (g *Gateway) statusPages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.draining {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("/debug/pprof/", g.ifPprof(pprof.Index))
	mux.HandleFunc("/debug/pprof/profile", g.ifPprof(pprof.Profile))
	return mux
}

// ifPprof shows a page as long as the configuration, which may be read again,
// has it.
func (g *Gateway) ifPprof(page http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		shown := g.cfg.Pprof
		g.mu.Unlock()
		if !shown {
			http.NotFound(w, r)
			return
		}
		page(w, r)
	}
}

// StatusAddr is where the status pages are; nil if there are none.
func (g *Gateway) StatusAddr() net.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.status == nil {
		return nil
	}
	return g.status.Listener.Addr()
}
