package gateway

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// certStore is the certificates of a listener. Those in use are replaced as a
// whole, and only by ones that are in order.
type certStore struct {
	sources []Certificate
	log     *slog.Logger
	now     atomic.Pointer[certSet]
}

// certSet finds a certificate by name.
type certSet struct {
	all     []*tls.Certificate // the first is the default
	byName  map[string][]*tls.Certificate
	files   map[string]time.Time           // what they were read from, and when that was changed; zero: it was not there
	staples map[*tls.Certificate]time.Time // when what is stapled goes out of date
	later   bool                           // there are more to come
	before  map[string][]byte              // what was stapled until now, by certificate
	log     *slog.Logger
}

func newCertStore(sources []Certificate, log *slog.Logger) (*certStore, error) {
	s := &certStore{sources: sources, log: log}
	return s, s.reload()
}

// reload reads all files again. On an error what was in use stays.
func (s *certStore) reload() error {
	set := &certSet{byName: map[string][]*tls.Certificate{}, files: map[string]time.Time{}, staples: map[*tls.Certificate]time.Time{}, before: map[string][]byte{}, log: s.log}
	if old := s.now.Load(); old != nil {
		for _, c := range old.all {
			set.before[string(c.Certificate[0])] = c.OCSPStaple
		}
	}
	for _, src := range s.sources {
		if src.Directory == "" {
			if err := set.load(src); err != nil {
				return err
			}
			continue
		}
		found, err := set.find(src.Directory)
		if err != nil {
			return err
		}
		for _, f := range found {
			f.OCSP = src.OCSP
			if err := set.load(f); err != nil {
				return err
			}
		}
	}
	if len(set.all) == 0 && !set.later {
		return errors.New("no certificate")
	}
	for _, list := range set.byName {
		slices.SortStableFunc(list, func(a, b *tls.Certificate) int { return cost(a) - cost(b) })
	}
	s.now.Store(set)
	return nil
}

// cost puts certificates of one name in the order in which they are offered:
// signing with ECDSA or Ed25519 costs a small part of what RSA does.
func cost(c *tls.Certificate) int {
	switch c.PrivateKey.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey:
		return 0
	}
	return 1
}

// find lists the certificates of a folder, in the ways that certbot, lego and
// people lay them out.
func (set *certSet) find(dir string) (out []Certificate, err error) {
	set.note(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		base, ext := strings.TrimSuffix(path, filepath.Ext(path)), filepath.Ext(path)
		switch {
		case exists(filepath.Join(path, "fullchain.pem")):
			out = append(out, Certificate{Cert: filepath.Join(path, "fullchain.pem"), Key: filepath.Join(path, "privkey.pem")})
		case ext == ".crt" && exists(base+".key"):
			out = append(out, Certificate{Cert: path, Key: base + ".key"})
		case ext == ".pem" && exists(base+".key"):
			out = append(out, Certificate{Cert: path, Key: base + ".key"})
		case ext == ".pem":
			out = append(out, Certificate{Cert: path})
		}
	}
	return out, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// note remembers how a file was when it was read.
func (set *certSet) note(file string) { set.files[file] = modTime(file) }

// modTime is when a file was changed; zero if it is not there.
func modTime(file string) (t time.Time) {
	if i, err := os.Stat(file); err == nil {
		t = i.ModTime()
	}
	return t
}

func (set *certSet) load(c Certificate) error {
	key := or(c.Key, c.Cert)
	set.note(c.Cert)
	set.note(key)
	if c.later && set.files[c.Cert].IsZero() {
		set.later = true
		return nil
	}
	cert, err := tls.LoadX509KeyPair(c.Cert, key)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Cert, err)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return fmt.Errorf("%s: %w", c.Cert, err)
		}
	}
	if err := set.staple(&cert, c.OCSP); err != nil {
		return fmt.Errorf("%s: OCSP: %w", c.Cert, err)
	}
	set.all = append(set.all, &cert)
	names := cert.Leaf.DNSNames
	if len(names) == 0 && cert.Leaf.Subject.CommonName != "" {
		names = []string{cert.Leaf.Subject.CommonName}
	}
	for _, n := range names {
		n = strings.ToLower(n)
		set.byName[n] = append(set.byName[n], &cert)
	}
	return nil
}

var errNotIssued = errors.New("no certificate has been issued yet")

// get chooses by SNI: the name itself, then a wildcard for it, then the default
// (RFC 8461, section 7.1, has an unknown name answered too). Of several the
// first that the client can use is taken.
func (s *certStore) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	set := s.now.Load()
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	list := set.byName[name]
	if list == nil {
		if _, parent, ok := strings.Cut(name, "."); ok {
			list = set.byName["*."+parent]
		}
	}
	if len(set.all) == 0 {
		return nil, errNotIssued
	}
	if list == nil {
		first := set.all[0]
		list = set.all[:1]
		if len(first.Leaf.DNSNames) > 0 {
			list = set.byName[strings.ToLower(first.Leaf.DNSNames[0])]
		}
	}
	for _, c := range list {
		if hello.SupportsCertificate(c) == nil {
			return set.fresh(c), nil
		}
	}
	return set.fresh(list[0]), nil
}

// fresh is c without a response that has gone out of date since it was read.
func (set *certSet) fresh(c *tls.Certificate) *tls.Certificate {
	if until := set.staples[c]; until.IsZero() || time.Now().Before(until) {
		return c
	}
	bare := *c
	bare.OCSPStaple = nil
	return &bare
}

// fetches reports whether responses to staple are asked for from authorities.
func (s *certStore) fetches() bool {
	return slices.ContainsFunc(s.sources, func(c Certificate) bool { return c.OCSP == "fetch" })
}

// changed reports whether any file is not as it was when it was read.
func (s *certStore) changed() bool {
	for f, when := range s.now.Load().files {
		if !modTime(f).Equal(when) {
			return true
		}
	}
	return false
}

// check warns of certificates that end soon, and of responses that have ended.
func (s *certStore) check(within time.Duration) {
	set := s.now.Load()
	for _, c := range set.all {
		if set.fresh(c) != c {
			s.log.Warn("a stapled response is out of date, and is sent no more", "names", c.Leaf.DNSNames, "since", set.staples[c].UTC().Format(time.RFC3339))
		}
		if left := time.Until(c.Leaf.NotAfter); left < within {
			s.log.Warn("a certificate ends soon", "names", c.Leaf.DNSNames, "not_after", c.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	}
}
