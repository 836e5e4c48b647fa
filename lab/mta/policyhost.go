package mta

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
	"time"
)

// policyPath is where a policy is (RFC 8461, section 3.3).
const policyPath = "/.well-known/mta-sts.txt"

// endlessPolicy is how many bytes there are of a policy that does not end, and
// tooMuch how many of them nobody should read.
const (
	endlessPolicy = 24 << 20
	tooMuch       = 16 << 20 // more than what lies in buffers on the way
)

// serveHTTPS serves by HTTPS at an address.
func (l *Lab) serveHTTPS(ip string, certificate func() (*tls.Certificate, error), handler http.HandlerFunc) error {
	nl, err := l.listen(ip, &l.HTTPS)
	if err != nil {
		return err
	}
	cfg := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() }}
	s := &http.Server{Handler: handler, ReadTimeout: quiet, WriteTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	l.closers = append(l.closers, func() { s.Close() })
	l.running.Go(func() { s.Serve(tls.NewListener(nl, cfg)) })
	return nil
}

func (s *site) policyCertificate() (*tls.Certificate, error) {
	n, st := s.now()
	if st.sts.down {
		return nil, errors.New("nobody answers")
	}
	return s.policy[n], nil
}

func (s *site) servePolicy(w http.ResponseWriter, r *http.Request) {
	s.event(func() { s.seen.asked = true })
	_, st := s.now()
	const elsewhere = "/policy.txt"
	switch {
	case st.sts.redirect && r.URL.Path == policyPath:
		http.Redirect(w, r, elsewhere, http.StatusFound)
		return
	case st.sts.policy == "", r.URL.Path != policyPath && !(st.sts.redirect && r.URL.Path == elsewhere):
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", cmp.Or(st.sts.mediaType, "text/plain"))
	io.WriteString(w, strings.ReplaceAll(st.sts.policy, "$", s.domain))
	if !st.sts.endless {
		return
	}
	line := []byte("padding: " + strings.Repeat("x", 1000) + "\r\n")
	for written := 0; written < endlessPolicy; written += len(line) {
		if _, err := w.Write(line); err != nil {
			return
		}
		s.event(func() { s.seen.read = written })
	}
}
