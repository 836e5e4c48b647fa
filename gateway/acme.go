package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"golang.org/x/net/idna"
)

// authority has the certificates of a configuration issued, and renewed in time.
// They come to the listeners by way of the storage's files, as all others do.
type authority struct {
	ACME
	roots    *x509.CertPool // of its server; nil: the system's
	host     string         // where challenges are answered
	httpPort int            // 0: not
	alpnPort int
	certs    *certmagic.Config // while it runs
	cache    *certmagic.Cache
	cancel   context.CancelFunc
}

// newAuthority checks c. It is nil if there is nothing to be issued.
func newAuthority(c ACME) (a *authority, err error) {
	if len(c.Names) == 0 {
		if !reflect.ValueOf(c).IsZero() {
			return nil, errors.New("acme: names is missing: whom are the certificates for?")
		}
		return nil, nil
	}
	a = &authority{ACME: c.withDefaults()}
	for _, name := range c.Names {
		if strings.HasPrefix(name, "*.") {
			return nil, fmt.Errorf("acme: a wildcard such as %s needs DNS-01, which is not spoken here", name)
		}
		if ascii, err := idna.Lookup.ToASCII(name); err != nil || ascii != name || !certmagic.SubjectQualifiesForCert(name) {
			return nil, fmt.Errorf("acme: %q is no host's name in small letters of ASCII", name)
		}
	}
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("acme: directory is an https URL, not %q", c.Directory)
	}
	if !c.Agree {
		return nil, fmt.Errorf("acme: %s issues to those who agree to its terms: read them, and say agree = true", a.Directory)
	}
	if c.CA != "" {
		if a.roots, err = readPool(c.CA); err != nil {
			return nil, fmt.Errorf("acme: %w", err)
		}
	}
	return a, a.challenges()
}

// challenges says where they are answered. One host has both sockets, since
// certmagic knows one.
func (a *authority) challenges() error {
	hosts := map[string]bool{}
	for addr, port := range map[string]*int{a.HTTP: &a.httpPort, a.TLSALPN: &a.alpnPort} {
		if addr == "" {
			continue
		}
		host, text, err := net.SplitHostPort(addr)
		n, err2 := strconv.ParseUint(text, 10, 16)
		if err != nil || err2 != nil || n == 0 {
			return fmt.Errorf("acme: %q is no address: HOST:PORT", addr)
		}
		*port, a.host, hosts[host] = int(n), host, true
	}
	switch {
	case len(hosts) == 0:
		return errors.New(`acme: where are challenges answered? http = ":80", or tls_alpn = ":443"`)
	case len(hosts) > 1 || a.HTTP == a.TLSALPN:
		return errors.New("acme: http and tls_alpn are two ports of one host")
	}
	return nil
}

func (c ACME) withDefaults() ACME {
	c.Directory = or(c.Directory, certmagic.LetsEncryptProductionCA)
	c.Storage = or(c.Storage, "/var/lib/starttls-gateway")
	return c
}

// certificates are the files that will be in the storage.
func (c ACME) certificates() (out []Certificate) {
	c = c.withDefaults()
	issuer := (&certmagic.ACMEIssuer{CA: c.Directory}).IssuerKey()
	files, keys := &certmagic.FileStorage{Path: c.Storage}, certmagic.StorageKeys
	for _, name := range c.Names {
		out = append(out, Certificate{Cert: files.Filename(keys.SiteCert(issuer, name)), Key: files.Filename(keys.SitePrivateKey(issuer, name)), OCSP: "fetch", later: true})
	}
	return out
}

func (a *authority) equal(b *authority) bool {
	if a == nil || b == nil {
		return a == b
	}
	return reflect.DeepEqual(a.ACME, b.ACME) && a.roots.Equal(b.roots)
}

// start has certificates issued that are missing, and renewed that end soon,
// until stop. It does not wait for any; issued is called when there is one.
func (a *authority) start(log *slog.Logger, issued func()) {
	if a == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	log = log.With("authority", a.Directory)
	quiet := zap.New(zapLog{log})
	a.cache = certmagic.NewCache(certmagic.CacheOptions{Logger: quiet, GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.certs, nil }})
	a.certs = certmagic.New(a.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: a.Storage}, ReusePrivateKeys: !a.NewKeys, Logger: quiet,
		OCSP: certmagic.OCSPConfig{DisableStapling: true}, // the listeners' own certificates have it
		OnEvent: func(_ context.Context, event string, data map[string]any) error {
			if event == "cert_obtained" {
				log.Info("certificate issued", "name", data["identifier"], "renewal", data["renewal"])
				issued()
			}
			return nil
		},
	})
	a.certs.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(a.certs, certmagic.ACMEIssuer{
		CA: a.Directory, TrustedRoots: a.roots, Email: a.Email, Agreed: a.Agree, Logger: quiet,
		ListenHost: a.host, AltHTTPPort: a.httpPort, AltTLSALPNPort: a.alpnPort,
		DisableHTTPChallenge: a.httpPort == 0, DisableTLSALPNChallenge: a.alpnPort == 0,
	})}
	a.certs.ManageAsync(ctx, a.Names)
}

// stop lets go of what is under way. It does not wait, since that may be the
// authority's answer.
func (a *authority) stop() {
	if a == nil {
		return
	}
	a.cancel()
	go a.cache.Stop()
}
