package tlsprobe

import (
	"context"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// Probes that say something wrong after the server's first flight, up to TLS
// 1.2, and watch. A close_notify follows at once, so that a server that passes
// over what is wrong ends the connection instead of keeping us waiting.

// early sends what say makes for the version, after the first flight of h, and
// gives each record that comes back to seen until it returns true. ok is false
// where there was no such flight.
func (s *Server) early(ctx context.Context, h *Hello, say func(version uint16) []tlswire.Record, seen func(tlswire.Record) bool) (a *Answer, ok bool, err error) {
	x, err := s.open(ctx)
	if err != nil {
		return nil, false, err
	}
	defer x.close()
	if a, err = x.send(h); err != nil || !a.Whole || a.Version >= tlswire.TLS13 {
		return a, false, err
	}
	x.Sent, x.Received = nil, nil
	bye := tlswire.Record{Type: tlswire.AlertRecord, Version: a.Version, Body: []byte{tlswire.Warning, tlswire.CloseNotify}}
	err = x.WriteRecords(append(say(a.Version), bye)...)
	for err == nil {
		var r tlswire.Record
		if r, err = x.ReadRecord(); err == nil && seen(r) {
			break
		}
	}
	a.Sent, a.Received = x.Sent, x.Received
	if ctx.Err() != nil {
		return a, false, context.Cause(ctx)
	}
	a.Err = err
	return a, true, nil
}

// overread is how many bytes of the server's memory the probe for Heartbleed
// asks for: enough to tell, too few to matter.
const overread = 16

// Heartbleed sends a heartbeat request that claims a payload of 16 bytes and
// has none. RFC 6520, section 4, has it discarded in silence; who answers reads
// past its end (CVE-2014-0160).
func (s *Server) Heartbleed(ctx context.Context) (Finding, error) {
	v, err := s.newest(ctx, tlswire.TLS12)
	if err != nil || v == nil || v.Version == tlswire.SSL3 {
		return whether(err, "TLS 1.0 to 1.2")
	}
	if !v.Answer.Extensions.Has(tlswire.ExtHeartbeat) {
		return without("heartbeat")
	}
	leaked := false
	a, ok, err := s.early(ctx, s.hello(v.Version, pick(tlswire.Suites(v.Version), common)).with(tlswire.Heartbeat()),
		func(version uint16) []tlswire.Record {
			return []tlswire.Record{{Type: tlswire.HeartbeatRecord, Version: version, Body: []byte{1, 0, overread}}}
		},
		func(r tlswire.Record) bool {
			leaked = r.Type == tlswire.HeartbeatRecord && len(r.Body) > 3
			return leaked
		})
	switch {
	case err != nil:
		return Finding{}, err
	case !ok:
		return finding(Inconclusive, "the handshake ended early", a), nil
	case leaked:
		a.Received = a.Received[:min(8, len(a.Received))] // not what leaked
		return finding(Vulnerable, "it answers a heartbeat with bytes that were not in it", a), nil
	case timedOut(a.Err):
		return finding(Inconclusive, "neither an answer nor an end", a), nil
	}
	return finding(Safe, "it discards the wrong heartbeat", a), nil
}

// CCSInjection sends ChangeCipherSpec before any key was exchanged. A server
// that takes it deciphers what follows with a key that everybody knows
// (CVE-2014-0224), and complains of that, not of the ChangeCipherSpec.
func (s *Server) CCSInjection(ctx context.Context) (Finding, error) {
	v, err := s.newest(ctx, tlswire.TLS12)
	if err != nil || v == nil {
		return whether(err, "version before TLS 1.3")
	}
	var alert *tlswire.Alert
	a, ok, err := s.early(ctx, s.hello(v.Version, pick(tlswire.Suites(v.Version), common)),
		func(version uint16) []tlswire.Record {
			ccs := tlswire.Record{Type: tlswire.ChangeCipherSpecRecord, Version: version, Body: []byte{1}}
			return []tlswire.Record{ccs, ccs}
		},
		func(r tlswire.Record) bool {
			if got, err := tlswire.ParseAlert(r.Body); err == nil && r.Type == tlswire.AlertRecord {
				alert = &got
			}
			return alert != nil
		})
	switch {
	case err != nil:
		return Finding{}, err
	case !ok:
		return finding(Inconclusive, "the handshake ended early", a), nil
	case alert != nil && (alert.Code == tlswire.BadRecordMAC || alert.Code == tlswire.DecryptionFailed):
		return finding(Vulnerable, "it deciphers what follows an early ChangeCipherSpec: "+alert.Name(), a), nil
	case alert != nil:
		return finding(Safe, "refused: "+alert.Name(), a), nil
	case timedOut(a.Err):
		return finding(Inconclusive, "neither an answer nor an end", a), nil
	}
	return finding(Safe, "it ends the connection", a), nil
}
