package gateway

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"

	"example.org/starttls"
)

// frontTLS is the TLS of a listener. It is made once, so that its sessions can
// be resumed, and by no other listener: the keys of the tickets are its own.
func frontTLS(l *Listener, info starttls.Info, certs *certStore) (*tls.Config, error) {
	c := &tls.Config{GetCertificate: certs.get, MinVersion: tls.VersionTLS12, DynamicRecordSizingDisabled: true}
	// With names of its own a server refuses a client that offers only others: a
	// browser that was led here, say (ALPACA).
	c.NextProtos = append(append(slices.Clone(info.ALPN), info.Name), info.Aliases...)
	switch l.MinTLS {
	case "", "1.2":
	case "1.3":
		c.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("min_tls is 1.2 or 1.3, not %q", l.MinTLS)
	}
	c.MinVersion = max(c.MinVersion, info.MinVersion)
	c.MaxVersion = info.MaxVersion
	return c, clientCerts(c, l)
}

func clientCerts(c *tls.Config, l *Listener) (err error) {
	switch l.ClientCert {
	case "", "off":
		if l.ClientCA != "" || len(l.ClientNames) > 0 {
			return errors.New("client_ca and client_names are of no use without client_cert")
		}
		return nil
	case "optional":
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case "required":
		c.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return fmt.Errorf("client_cert is off, optional or required, not %q", l.ClientCert)
	}
	if l.ClientCA == "" {
		return errors.New("client_cert needs client_ca: the authorities that issue them")
	}
	if c.ClientCAs, err = readPool(l.ClientCA); err != nil {
		return err
	}
	if len(l.ClientNames) > 0 {
		c.VerifyConnection = func(s tls.ConnectionState) error { return nameAmong(s, l.ClientNames) }
	}
	return nil
}

// nameAmong demands that a client's certificate has one of the names. Who
// resumes a session is asked again.
func nameAmong(s tls.ConnectionState, names []string) error {
	if len(s.PeerCertificates) == 0 {
		return nil // optional, and not given
	}
	leaf := s.PeerCertificates[0]
	have := append(append([]string{leaf.Subject.CommonName}, leaf.DNSNames...), leaf.EmailAddresses...)
	for _, u := range leaf.URIs {
		have = append(have, u.String())
	}
	for _, n := range have {
		if n != "" && slices.Contains(names, n) {
			return nil
		}
	}
	return fmt.Errorf("the client's certificate is for %q, which may not connect", have)
}

func readPool(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s: no certificate in it", file)
	}
	return pool, nil
}

// backTLS is how the backend is verified: by authorities, by pinned keys, or by
// both.
func backTLS(b *Backend) (*tls.Config, error) {
	c := &tls.Config{ServerName: b.ServerName, ClientSessionCache: tls.NewLRUClientSessionCache(64), DynamicRecordSizingDisabled: true}
	if b.CA != "" {
		pool, err := readPool(b.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	if b.Cert != "" {
		cert, err := tls.LoadX509KeyPair(b.Cert, or(b.Key, b.Cert))
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{cert}
	}
	if len(b.Pins) == 0 {
		return c, nil
	}
	var pins [][sha256.Size]byte
	for _, p := range b.Pins {
		sum, err := base64.StdEncoding.DecodeString(p)
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("pin %q is not the SHA-256 of a public key in base64", p)
		}
		pins = append(pins, [sha256.Size]byte(sum))
	}
	c.InsecureSkipVerify = b.CA == "" // the key says who it is; nothing else need
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if sum := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo); !slices.Contains(pins, sum) {
			return fmt.Errorf("the server's key %s is not pinned", base64.StdEncoding.EncodeToString(sum[:]))
		}
		return nil
	}
	return c, nil
}
