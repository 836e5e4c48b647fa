package gateway

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"
)

// stapled is the main certificate of p with a response from a file.
func (p *pki) stapled(t testing.TB, der []byte) []Certificate {
	t.Helper()
	file := filepath.Join(p.dir, "response.ocsp")
	must(t, os.WriteFile(file, der, 0o600))
	return []Certificate{{Cert: p.cert, Key: p.key, OCSP: file}}
}

// What is wrong with a response in a file is said when it is read; a good one is
// stapled.
func TestOCSPFile(t *testing.T) {
	p, stranger := newPKI(t), newPKI(t)
	other, err := p.ca.Issue(nil, "other.example.test")
	must(t, err)
	for _, x := range []struct {
		name, want string
		by         *pki
		leaf       *x509.Certificate
		edit       func(*ocsp.Response)
	}{
		{"good", "", p, p.pair.Leaf, nil},
		{"good until further notice", "", p, p.pair.Leaf, func(r *ocsp.Response) { r.NextUpdate = time.Time{} }},
		{"revoked", "does not say that the certificate is good", p, p.pair.Leaf, func(r *ocsp.Response) { r.Status = ocsp.Revoked }},
		{"unknown", "does not say that the certificate is good", p, p.pair.Leaf, func(r *ocsp.Response) { r.Status = ocsp.Unknown }},
		{"out of date", "is out of date since", p, p.pair.Leaf, func(r *ocsp.Response) { r.NextUpdate = time.Now().Add(-time.Minute) }},
		{"too early", "is not good before", p, p.pair.Leaf, func(r *ocsp.Response) { r.ThisUpdate = time.Now().Add(time.Minute) }},
		{"of another certificate", "no response matching", p, other.Leaf, nil},
		{"of another authority", "OCSP: ", stranger, p.pair.Leaf, nil},
	} {
		der, err := x.by.ca.Staple(x.leaf, x.edit)
		must(t, err)
		certs := p.stapled(t, der)
		err = Check(Config{Listeners: []Listener{{Listen: []string{"127.0.0.1:0"}, Protocol: "imap", Certificates: certs, Backend: Backend{Address: "127.0.0.1:1"}}}})
		if x.want != "" {
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%s: wanted %q, got %v", x.name, x.want, err)
			}
			continue
		}
		must(t, err)
		_, addr := imapGate(t, Listener{Certificates: certs})
		if got := shown(t, addr, &tls.Config{}).OCSPResponse; !bytes.Equal(got, der) {
			t.Errorf("%s: the staple is %d bytes, want %d", x.name, len(got), len(der))
		}
	}
}

// A response that was good when it was read is not sent once it is out of date.
func TestOCSPGoesOutOfDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPKI(t)
		der, err := p.ca.Staple(p.pair.Leaf, func(r *ocsp.Response) { r.NextUpdate = time.Now().Add(time.Hour) })
		must(t, err)
		var log bytes.Buffer
		s, err := newCertStore(p.stapled(t, der), slog.New(slog.NewTextHandler(&log, nil)))
		must(t, err)
		for i, want := range [][]byte{der, nil} {
			c, err := s.get(&tls.ClientHelloInfo{})
			must(t, err)
			if !bytes.Equal(c.OCSPStaple, want) {
				t.Errorf("%d h: the staple is %d bytes, want %d", i, len(c.OCSPStaple), len(want))
			}
			if s.check(0); strings.Contains(log.String(), "is out of date") != (want == nil) {
				t.Errorf("%d h: the log says %q", i, &log)
			}
			time.Sleep(time.Hour)
		}
	})
}

// What an authority answers is stapled if it may be, and no reason not to serve
// the certificate. While it can not be reached the last answer stays.
func TestOCSPFetched(t *testing.T) {
	p := newPKI(t)
	var answer []byte // nil: an error
	authority := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer == nil {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
		w.Write(answer)
	}))
	defer authority.Close()
	pair, err := p.ca.Issue(func(c *x509.Certificate) { c.OCSPServer = []string{authority.URL} }, testName)
	must(t, err)
	p.write(t, "main", pair)
	staple := func(edit func(*ocsp.Response)) []byte {
		der, err := p.ca.Staple(pair.Leaf, edit)
		must(t, err)
		return der
	}
	good := staple(nil)
	var log bytes.Buffer
	s, err := newCertStore([]Certificate{{Cert: p.cert, Key: p.key, OCSP: "fetch"}}, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	for _, x := range []struct {
		name         string
		answer, want []byte
		warned       bool
	}{
		{"none yet", nil, nil, true},
		{"good", good, good, false},
		{"not reached", nil, good, true},
		{"revoked", staple(func(r *ocsp.Response) { r.Status = ocsp.Revoked }), nil, true},
		{"out of date", staple(func(r *ocsp.Response) { r.NextUpdate = time.Now().Add(-time.Minute) }), nil, true},
		{"nonsense", []byte("nonsense"), nil, true},
		{"good again", good, good, false},
	} {
		answer = x.answer
		log.Reset()
		must(t, s.reload())
		c, err := s.get(&tls.ClientHelloInfo{})
		must(t, err)
		if !bytes.Equal(c.OCSPStaple, x.want) {
			t.Errorf("%s: the staple is %d bytes, want %d", x.name, len(c.OCSPStaple), len(x.want))
		}
		if warned := strings.Contains(log.String(), "level=WARN"); warned != x.warned {
			t.Errorf("%s: warned: %t: %s", x.name, warned, &log)
		}
	}
}
