package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"example.org/starttls"
)

// outcome names how a connection ended, for logs and metrics.
func outcome(err error) string {
	var (
		injected *starttls.InjectedError
		clear    *starttls.CleartextError
		limit    *limitError
		limits   *starttls.LimitError
		cut      *filterError
		e        *starttls.Error
		backend  *backendError
	)
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errDrained):
		return "drained"
	case errors.Is(err, errIdle):
		return "idle"
	case errors.Is(err, errDenied):
		return "denied"
	case errors.As(err, &limit):
		return "limit"
	case errors.As(err, &cut):
		return "cut"
	case errors.As(err, &backend):
		return "backend"
	case errors.As(err, &injected):
		return "injected"
	case errors.Is(err, errLeft):
		return "left"
	case errors.Is(err, errNoHello):
		return "handshake"
	case errors.Is(err, errHandshakeTime):
		return "timeout"
	case errors.Is(err, starttls.ErrNotUpgraded):
		return "refused-clear"
	case errors.As(err, &limits):
		return "flood"
	case errors.As(err, &clear):
		return "cleartext"
	case errors.As(err, &e) && e.Timeout():
		return "timeout"
	case errors.As(err, &e) && e.Stage == starttls.StageHandshake:
		return "handshake"
	}
	return "broken"
}

// backendError is what went wrong between the gateway and its backend.
type backendError struct{ err error }

func (e *backendError) Error() string { return "backend: " + e.err.Error() }
func (e *backendError) Unwrap() error { return e.err }

// joined notes that a session has begun.
func (g *Gateway) joined(s *session) {
	s.count.settled()
	s.settled = true
	g.metrics.joined(s)
}

// ended notes that it is over, and lets go of it.
func (g *Gateway) ended(s *session, err error) {
	if r := s.relay.Load(); r != nil {
		s.close()
		if cause := r.cause.Load(); cause != nil {
			err = *cause
		}
	}
	s.count.leave(s.address, s.settled)
	g.mu.Lock()
	delete(g.sessions, s)
	g.mu.Unlock()
	how := outcome(err)
	if err == nil && s.known.seen.clear {
		how = "clear"
	}
	g.metrics.ended(s, how)
	level := slog.LevelInfo
	if how == "injected" || how == "backend" || how == "clear" {
		level = slog.LevelWarn
	}
	s.log.LogAttrs(context.Background(), level, "connection", s.attrs(how, err)...)
	g.running.Done()
}

// attrs is what the log says of a session.
func (s *session) attrs(how string, err error) []slog.Attr {
	out := []slog.Attr{slog.String("outcome", how), slog.String("client", s.client.client.String()), slog.Float64("seconds", time.Since(s.began).Seconds())}
	if s.known.client != nil {
		out = append(out, tlsAttrs(s.known.client.ConnectionState())...)
	}
	if h := s.known.seen.hello; h.version != 0 {
		out = append(out, slog.String("offered_tls", h.versionName()), slog.String("sni", h.name))
	}
	if x := s.known.times; x != (starttls.Timings{}) {
		out = append(out, slog.Float64("clear_ms", ms(x.Cleartext)), slog.Float64("handshake_ms", ms(x.Handshake)))
	}
	if s.known.dialled > 0 {
		out = append(out, slog.Float64("backend_ms", ms(s.known.dialled)), slog.String("backend_level", s.known.level))
	}
	if r := s.relay.Load(); r != nil {
		out = append(out, slog.Int64("bytes_up", r.up.Load()), slog.Int64("bytes_down", r.down.Load()))
	}
	if err != nil {
		out = append(out, slog.String("err", err.Error()))
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func tlsAttrs(t tls.ConnectionState) []slog.Attr {
	out := []slog.Attr{slog.String("tls", tls.VersionName(t.Version)), slog.String("cipher", tls.CipherSuiteName(t.CipherSuite)),
		slog.String("group", t.CurveID.String()), slog.String("sni", t.ServerName), slog.Bool("resumed", t.DidResume)}
	if len(t.VerifiedChains) > 0 {
		out = append(out, slog.String("client_cert", t.PeerCertificates[0].Subject.String()))
	}
	return out
}
