package gateway

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/crypto/ocsp"
)

const (
	ocspTimeout = 10 * time.Second
	ocspMost    = 64 << 10 // bytes of a response
)

// staple puts a response about cert into it, from a file or from its authority.
// An authority that can not be reached is no reason not to serve the
// certificate: there is no staple then.
func (set *certSet) staple(cert *tls.Certificate, from string) error {
	if from == "" {
		return nil
	}
	issuer, err := issuerOf(cert)
	if err != nil {
		return err
	}
	var der []byte
	if from == "fetch" {
		if len(cert.Leaf.OCSPServer) == 0 {
			return nil
		}
		if der, err = fetchOCSP(cert.Leaf, issuer); err != nil {
			return nil
		}
	} else {
		set.note(from)
		if der, err = os.ReadFile(from); err != nil {
			return err
		}
	}
	r, err := ocsp.ParseResponseForCert(der, cert.Leaf, issuer)
	switch {
	case err != nil:
		return err
	case r.Status != ocsp.Good:
		return errors.New("the response does not say that the certificate is good")
	case !r.NextUpdate.IsZero() && time.Now().After(r.NextUpdate):
		return errors.New("the response is out of date since " + r.NextUpdate.UTC().Format(time.RFC3339))
	}
	cert.OCSPStaple = der
	return nil
}

func issuerOf(cert *tls.Certificate) (*x509.Certificate, error) {
	if len(cert.Certificate) < 2 {
		return nil, errors.New("the file has no issuer's certificate behind the certificate")
	}
	return x509.ParseCertificate(cert.Certificate[1])
}

func fetchOCSP(leaf, issuer *x509.Certificate) ([]byte, error) {
	request, err := ocsp.CreateRequest(leaf, issuer, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: ocspTimeout}
	r, err := client.Post(leaf.OCSPServer[0], "application/ocsp-request", bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	return io.ReadAll(io.LimitReader(r.Body, ocspMost))
}
