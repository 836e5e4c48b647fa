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
// A file with a response that may not be sent is an error. What an authority
// says, or does not, is no reason not to serve the certificate: there is no
// staple then.
func (set *certSet) staple(cert *tls.Certificate, from string) error {
	if from == "" {
		return nil
	}
	issuer, err := issuerOf(cert)
	if err != nil {
		return err
	}
	if from != "fetch" {
		set.note(from)
		der, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return set.stapleResponse(cert, issuer, der)
	}
	if len(cert.Leaf.OCSPServer) == 0 {
		return nil
	}
	der, err := fetchOCSP(cert.Leaf, issuer)
	if err != nil {
		der = set.before[string(cert.Certificate[0])] // which may be good for long
	}
	if err = or(err, set.stapleResponse(cert, issuer, der)); err != nil {
		set.log.Warn("no new response to staple", "names", cert.Leaf.DNSNames, "authority", cert.Leaf.OCSPServer[0], "err", err)
	}
	return nil
}

// stapleResponse puts a response into cert, if it may be sent now.
func (set *certSet) stapleResponse(cert *tls.Certificate, issuer *x509.Certificate, der []byte) error {
	r, err := ocsp.ParseResponseForCert(der, cert.Leaf, issuer)
	now := time.Now()
	switch {
	case err != nil:
		return err
	case r.Status != ocsp.Good:
		return errors.New("the response does not say that the certificate is good")
	case now.Before(r.ThisUpdate):
		return errors.New("the response is not good before " + r.ThisUpdate.UTC().Format(time.RFC3339))
	case !r.NextUpdate.IsZero() && !now.Before(r.NextUpdate):
		return errors.New("the response is out of date since " + r.NextUpdate.UTC().Format(time.RFC3339))
	}
	cert.OCSPStaple = der
	set.staples[cert] = r.NextUpdate
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
	if r.StatusCode != http.StatusOK {
		return nil, errors.New(r.Status)
	}
	return io.ReadAll(io.LimitReader(r.Body, ocspMost))
}
