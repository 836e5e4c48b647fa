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
	all    []*tls.Certificate // the first is the default
	byName map[string][]*tls.Certificate
	files  map[string]time.Time // what they were read from, and how old that was
}

func newCertStore(sources []Certificate, log *slog.Logger) (*certStore, error) {
	s := &certStore{sources: sources, log: log}
	return s, s.reload()
}

// reload reads all files again. On an error what was in use stays.
func (s *certStore) reload() error {
	set := &certSet{byName: map[string][]*tls.Certificate{}, files: map[string]time.Time{}}
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
	if len(set.all) == 0 {
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

func (set *certSet) note(file string) {
	if i, err := os.Stat(file); err == nil {
		set.files[file] = i.ModTime()
	}
}

func (set *certSet) load(c Certificate) error {
	key := or(c.Key, c.Cert)
	set.note(c.Cert)
	set.note(key)
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
	if list == nil {
		first := set.all[0]
		list = set.all[:1]
		if len(first.Leaf.DNSNames) > 0 {
			list = set.byName[strings.ToLower(first.Leaf.DNSNames[0])]
		}
	}
	for _, c := range list {
		if hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return list[0], nil
}

// fetches reports whether responses to staple are asked for from authorities.
func (s *certStore) fetches() bool {
	return slices.ContainsFunc(s.sources, func(c Certificate) bool { return c.OCSP == "fetch" })
}

// changed reports whether any file is not as it was when it was read.
func (s *certStore) changed() bool {
	for f, when := range s.now.Load().files {
		if i, err := os.Stat(f); err != nil || !i.ModTime().Equal(when) {
			return true
		}
	}
	return false
}

// check warns of certificates that end soon.
func (s *certStore) check(within time.Duration) {
	for _, c := range s.now.Load().all {
		if left := time.Until(c.Leaf.NotAfter); left < within {
			s.log.Warn("a certificate ends soon", "names", c.Leaf.DNSNames, "not_after", c.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	}
}
