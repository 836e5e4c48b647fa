package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Whether the certificate was revoked: by what the server staples, and, where
// the user allows to ask (Options.Online), by what the authority says.

// staple judges the stapled OCSP response (RFC 6066, section 8).
func (r *run) staple(s tls.ConnectionState) {
	leaf := s.PeerCertificates[0]
	issuer := issuerOf(s.PeerCertificates)
	switch {
	case len(s.OCSPResponse) == 0 && mustStaple(leaf):
		r.add("cert-must-staple", "")
	case len(s.OCSPResponse) > 0 && issuer != nil:
		response, err := ocsp.ParseResponseForCert(s.OCSPResponse, leaf, issuer)
		if err != nil {
			r.add("cert-staple-bad", "it can not be read: "+err.Error())
			return
		}
		r.revoked("the stapled response", response)
	}
}

// revoked judges an OCSP response.
func (r *run) revoked(whose string, o *ocsp.Response) {
	now := r.options.Now()
	switch {
	case o.Status == ocsp.Revoked:
		r.add("cert-revoked", fmt.Sprintf("%s says so, since %s", whose, o.RevokedAt.UTC().Format(time.RFC3339)))
	case !o.NextUpdate.IsZero() && now.After(o.NextUpdate):
		r.add("cert-staple-bad", fmt.Sprintf("%s is out of date since %s", whose, o.NextUpdate.UTC().Format(time.RFC3339)))
	case o.Status == ocsp.Unknown:
		r.add("cert-staple-bad", whose+" does not know the certificate")
	}
}

// issuerOf is the certificate that issued the first of the chain; nil if it was
// not served.
func issuerOf(chain []*x509.Certificate) *x509.Certificate {
	for _, c := range chain {
		if bytes.Equal(c.RawSubject, chain[0].RawIssuer) {
			return c
		}
	}
	return nil
}

// online asks the authority (RFC 6960), and where it runs no OCSP, reads its
// list (RFC 5280, section 5).
func (r *run) online(ctx context.Context) trial {
	leaf, issuer := r.served[0], issuerOf(r.served)
	if issuer == nil {
		return trial{verdict: Skipped, detail: "the issuer's certificate was not served"}
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	switch {
	case len(leaf.OCSPServer) > 0:
		return r.askOCSP(ctx, leaf, issuer)
	case len(leaf.CRLDistributionPoints) > 0:
		return r.readCRL(ctx, leaf, issuer)
	}
	return trial{verdict: Skipped, detail: "the certificate names neither an OCSP server nor a list"}
}

func (r *run) askOCSP(ctx context.Context, leaf, issuer *x509.Certificate) trial {
	question, err := ocsp.CreateRequest(leaf, issuer, nil)
	if err != nil {
		return trial{verdict: Inconclusive, detail: err.Error()}
	}
	b, err := fetch(ctx, http.MethodPost, leaf.OCSPServer[0], "application/ocsp-request", question)
	if err != nil {
		return trial{verdict: Inconclusive, detail: err.Error()}
	}
	answer, err := ocsp.ParseResponseForCert(b, leaf, issuer)
	switch {
	case err != nil:
		return trial{verdict: Inconclusive, detail: err.Error()}
	case answer.Status == ocsp.Revoked:
		return trial{verdict: Warn, detail: "the authority says so, since " + answer.RevokedAt.UTC().Format(time.RFC3339)}
	}
	return trial{verdict: Passed, detail: "the authority vouches for it (OCSP)"}
}

func (r *run) readCRL(ctx context.Context, leaf, issuer *x509.Certificate) trial {
	b, err := fetch(ctx, http.MethodGet, leaf.CRLDistributionPoints[0], "", nil)
	if err != nil {
		return trial{verdict: Inconclusive, detail: err.Error()}
	}
	list, err := x509.ParseRevocationList(b)
	if err == nil {
		err = list.CheckSignatureFrom(issuer)
	}
	if err != nil {
		return trial{verdict: Inconclusive, detail: err.Error()}
	}
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
			return trial{verdict: Warn, detail: "it is in the authority's list, since " + e.RevocationTime.UTC().Format(time.RFC3339)}
		}
	}
	return trial{verdict: Passed, detail: "it is not in the authority's list (CRL)"}
}

// fetch asks an authority by HTTP, whose answers are signed.
func fetch(ctx context.Context, method, url, kind string, body []byte) ([]byte, error) {
	const most = 32 << 20 // lists of large authorities have some ten million bytes
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if len(b) > most {
		err = errors.New(url + " is too long")
	}
	return b, err
}
