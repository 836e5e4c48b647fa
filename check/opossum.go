package check

import (
	"context"
	"crypto/tls"
	"slices"

	"example.org/starttls"
)

// opossum tests whether a session that is meant for the port that begins with
// TLS can be led to the one that upgrades: both are served for the same name and
// key, and the upgrade takes the ClientHello of the other. Client and server then
// differ about who speaks first (https://opossum-attack.com).
func (r *run) opossum(ctx context.Context) trial {
	info := r.target.Protocol.Info()
	if info.ImplicitTLS == 0 || r.target.Port != info.Port || info.Port == info.ImplicitTLS {
		return trial{}
	}
	other, err := r.visitImplicit(ctx, info, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return trial{verdict: Passed, detail: "the form that begins with TLS is not served here"}
	}
	defer other.Close()
	v := r.visit(ctx, func(c *starttls.Config) { c.Bare, c.TLS.NextProtos = true, slices.Clone(info.ALPN) })
	if v.err != nil {
		return trial{verdict: Passed, detail: "a ClientHello meant for the other port is refused: " + r.notMade(ctx, v.err).detail}
	}
	defer v.conn.Close()
	a, b := other.TLS().ConnectionState().PeerCertificates[0], v.conn.TLS().ConnectionState().PeerCertificates[0]
	if !slices.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo) {
		return trial{verdict: Passed, detail: "the two forms have different keys"}
	}
	return trial{verdict: Warn}
}
