package mta

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/mail"
	"strings"

	"example.org/starttls/policy/tlsrpt"
)

// reports is where reports are sent: a mail server and an HTTPS host.
type reports struct{ ip string }

// serveReports starts it.
func (l *Lab) serveReports(ip string) (*reports, error) {
	cert, err := l.pki.trusted.Issue(nil, reportsDomain)
	if err != nil {
		return nil, err
	}
	nl, err := l.listen(ip, &l.Port)
	if err != nil {
		return nil, err
	}
	server := mailServer{name: reportsDomain, cert: &cert, active: func() {}, message: func(text []byte) {
		if r, err := reportIn(text); err == nil {
			l.reported(r)
		}
	}}
	l.running.Go(func() {
		for {
			nc, err := nl.Accept()
			if err != nil {
				return
			}
			l.running.Go(func() { new(session).serve(l.ctx, nc, server) })
		}
	})
	return &reports{ip}, l.serveHTTPS(ip, func() (*tls.Certificate, error) { return &cert, nil }, func(w http.ResponseWriter, r *http.Request) {
		report, err := tlsrpt.Read(http.MaxBytesReader(w, r.Body, longest))
		if r.Method != http.MethodPost || err != nil {
			http.Error(w, "post a report", http.StatusBadRequest)
			return
		}
		l.reported(report)
	})
}

// reportURI is where a record says that reports are wanted.
func (l *Lab) reportURI(by string) string {
	if by == "mail" {
		return "mailto:tlsrpt@" + reportsDomain
	}
	return fmt.Sprintf("https://%s:%d/report", reportsDomain, l.HTTPS)
}

// reported notes a report with the sites that it is about.
func (l *Lab) reported(r *tlsrpt.Report) {
	for _, s := range l.sites {
		if s.report != "" && about(r, s.domain) != nil {
			s.event(func() { s.seen.reports = append(s.seen.reports, r) })
			l.tell(s.judge())
		}
	}
}

// about are what a report says of a domain or of its servers.
func about(r *tlsrpt.Report, domain string) (out []tlsrpt.Result) {
	for _, p := range r.Policies {
		name := strings.ToLower(strings.TrimSuffix(p.Policy.Domain, "."))
		if name == domain || strings.HasSuffix(name, "."+domain) {
			out = append(out, p)
		}
	}
	return out
}

// Bounds of a message that may hold a report.
const (
	mostParts = 20
	deepest   = 3
)

// reportIn finds the report in a message (RFC 8460, section 5.3).
func reportIn(message []byte) (*tlsrpt.Report, error) {
	m, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	return reportInPart(m.Header.Get, m.Body, deepest)
}

func reportInPart(header func(string) string, body io.Reader, depth int) (*tlsrpt.Report, error) {
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(kind, "application/tlsrpt+"):
		if strings.EqualFold(header("Content-Transfer-Encoding"), "base64") {
			body = base64.NewDecoder(base64.StdEncoding, body)
		}
		return tlsrpt.Read(body)
	case !strings.HasPrefix(kind, "multipart/") || depth == 0:
		return nil, errors.New("there is no report in it")
	}
	parts := multipart.NewReader(body, params["boundary"])
	for range mostParts {
		p, err := parts.NextPart()
		if err != nil {
			return nil, err
		}
		if r, err := reportInPart(p.Header.Get, p, depth-1); err == nil {
			return r, nil
		}
	}
	return nil, errors.New("there is no report in its first parts")
}
