package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.org/starttls/internal/testca"
)

const (
	domain  = "example.test"
	enforce = "version: STSv1\r\nmode: enforce\r\nmx: mx.example.test\r\nmax_age: 604800\r\n"
)

// policyHost is a web server in memory, for use under synctest.
type policyHost struct {
	t        testing.TB
	ca       *testca.CA
	cert     tls.Certificate
	handler  http.HandlerFunc
	conns    chan net.Conn
	pipes    []net.Conn // all of them, the server's ends
	requests atomic.Int32
	closed   chan struct{}
}

func newPolicyHost(t testing.TB, handler http.HandlerFunc) *policyHost {
	t.Helper()
	h := &policyHost{t: t, handler: handler, conns: make(chan net.Conn), closed: make(chan struct{})}
	h.certify()
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(tls.NewListener(h, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName != "mta-sts."+domain {
			t.Errorf("the server name is %q", hello.ServerName)
		}
		return &h.cert, nil
	}}))
	t.Cleanup(func() {
		for _, c := range h.pipes { // else both sides wait to be rid of their last alerts
			c.Close()
		}
		server.Close()
	})
	return h
}

// certify gives the host a new certificate, which is valid for a day, as its
// issuer's is.
func (h *policyHost) certify() {
	h.t.Helper()
	var err error
	h.ca, err = testca.New("test root")
	check(h.t, err)
	h.cert, err = h.ca.Issue(nil, "mta-sts."+domain)
	check(h.t, err)
}

func (h *policyHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.requests.Add(1)
	if r.Method != "GET" || r.Host != "mta-sts."+domain || r.URL.String() != "/.well-known/mta-sts.txt" {
		h.t.Errorf("%s %s of %s", r.Method, r.URL, r.Host)
	}
	h.handler(w, r)
}

func (h *policyHost) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *policyHost) Close() error   { close(h.closed); return nil }
func (h *policyHost) Addr() net.Addr { return &net.TCPAddr{} }

func (h *policyHost) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	if addr != "mta-sts."+domain+":443" {
		h.t.Errorf("dialled %s", addr)
	}
	ours, theirs := net.Pipe()
	h.pipes = append(h.pipes, theirs)
	select {
	case h.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *policyHost) client() *Client { return &Client{Roots: h.ca.Pool(), Dial: h.dial} }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// page serves a text with its media type.
func page(mediaType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{mediaType}
		io.WriteString(w, text)
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, enforce)
	}
}

// RFC 8461, section 3.3.
func TestFetch(t *testing.T) {
	yesterday := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}
	ofAnother := func(*testca.CA) (tls.Certificate, error) {
		other, err := testca.New("another root")
		check(t, err)
		return other.Issue(nil, "mta-sts."+domain)
	}
	fill := func(n int) string { return enforce + "x: " + strings.Repeat("y", n-len(enforce)-4) + "\n" }
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		cert    func(ca *testca.CA) (tls.Certificate, error) // instead of a good one
		mode    Mode                                         // or, where it fails,
		result  string
		text    string // part of the error or of the advice
	}{
		{name: "enforce", handler: page("text/plain", enforce), mode: Enforce},
		{name: "testing", handler: page("text/plain; charset=utf-8", "version: STSv1\nmode: testing\nmx: a\nmax_age: 1"), mode: Testing},
		{name: "none", handler: page("text/plain", "version: STSv1\nmode: none\nmax_age: 1"), mode: None},
		{name: "64 KB", handler: page("text/plain", fill(64<<10)), mode: Enforce},
		{name: "wrong media type", handler: page("text/html", enforce), mode: Enforce, text: `served as "text/html"`},
		{name: "no media type", handler: page("", enforce), mode: Enforce, text: `served as ""`},
		{name: "65 KB", handler: page("text/plain", fill(65<<10)), result: invalid, text: "longer than 65536 bytes"},
		{name: "no policy", handler: page("text/plain", "hello\n"), result: invalid, text: "line 1"},
		{name: "301", handler: status(301, "Location", "/.well-known/mta-sts.txt"), result: fetchError, text: "301 Moved Permanently to \"/.well-known/mta-sts.txt\", which may not be followed"},
		{name: "302", handler: status(302, "Location", "https://elsewhere.test/"), result: fetchError, text: "302 Found to"},
		{name: "404", handler: status(404), result: fetchError, text: "404 Not Found"},
		{name: "203", handler: status(203), result: fetchError, text: "203 Non-Authoritative"},
		{name: "500", handler: status(500), result: fetchError, text: "500 Internal"},
		{name: "long header", handler: status(200, "X", strings.Repeat("y", 80<<10)), result: fetchError, text: "exceeded"},
		{name: "no answer", handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, result: fetchError, text: "no whole policy within 1m0s"},
		{name: "slow", handler: func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, "x: y\n")
				w.(http.Flusher).Flush()
				select {
				case <-time.After(10 * time.Second): // of the test's clock
				case <-r.Context().Done():
				}
			}
		}, result: fetchError, text: "no whole policy within 1m0s"},
		{name: "cut", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, enforce)
		}, result: fetchError, text: "unexpected EOF"},
		{name: "expired certificate", cert: func(ca *testca.CA) (tls.Certificate, error) { return ca.Issue(yesterday, "mta-sts."+domain) }, result: webPKI, text: "expired"},
		{name: "other name", cert: func(ca *testca.CA) (tls.Certificate, error) { return ca.Issue(nil, domain, "www."+domain) }, result: webPKI, text: "not mta-sts.example.test"},
		{name: "wildcard", handler: page("text/plain", enforce), cert: func(ca *testca.CA) (tls.Certificate, error) { return ca.Issue(nil, "*."+domain) }, mode: Enforce},
		{name: "unknown root", cert: ofAnother, result: webPKI, text: "unknown authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPolicyHost(t, c.handler)
				if c.cert != nil {
					cert, err := c.cert(h.ca)
					check(t, err)
					h.cert = cert
				}
				start := time.Now()
				p, err := h.client().Fetch(t.Context(), domain)
				if took := time.Since(start); took > time.Minute {
					t.Errorf("it took %v", took)
				}
				if c.result == "" {
					if err != nil || p.Mode != c.mode || !strings.Contains(strings.Join(p.Advice, ""), c.text) || (c.text == "") != (len(p.Advice) == 0) {
						t.Errorf("%+v, %v", p, err)
					}
					return
				}
				var e *Error
				if !errors.As(err, &e) || e.ResultType() != c.result || !strings.Contains(err.Error(), c.text) || e.Domain != domain {
					t.Errorf("%v (%+v)\nwant %s and %q", err, e, c.result, c.text)
				}
				if n := h.requests.Load(); n > 1 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// What is no host name is not made into a URL.
func TestFetchNoName(t *testing.T) {
	c := &Client{Dial: func(context.Context, string, string) (net.Conn, error) { t.Error("dialled"); return nil, io.EOF }}
	for _, d := range []string{"", "a/b", "a@b", "a:1", "a b", "[::1]", "..", "a\n"} {
		var e *Error
		if _, err := c.Fetch(t.Context(), d); !errors.As(err, &e) {
			t.Errorf("%q: %v", d, err)
		}
		if s := c.Get(t.Context(), d); !errors.As(s.Err, &e) {
			t.Errorf("%q: %v", d, s.Err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	c := &Client{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route") }}
	var e *Error
	if _, err := c.Fetch(t.Context(), domain); !errors.As(err, &e) || e.ResultType() != fetchError || !strings.Contains(err.Error(), "no route") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := c.Fetch(ctx, domain); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Error(err)
	}
}
