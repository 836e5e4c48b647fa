package mtasts

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/starttls/internal/testca"
)

// sender is a Client with what it meets, all of which a test may change.
type sender struct {
	*Client
	t     testing.TB
	names names
	body  string // "" for 404
	host  *policyHost
}

func newSender(t testing.TB, cache *Cache) *sender {
	t.Helper()
	s := &sender{t: t, names: names{}, body: enforce}
	s.host = newPolicyHost(t, func(w http.ResponseWriter, _ *http.Request) {
		if s.body == "" {
			http.Error(w, "gone", http.StatusNotFound)
			return
		}
		io.WriteString(w, s.body)
	})
	s.Client = s.host.client()
	s.Resolver, s.Cache = s.names, cache
	s.record("one")
	return s
}

func (s *sender) record(id string) { s.names["_mta-sts."+domain] = []string{"v=STSv1; id=" + id} }

// expect gets the policy and compares what is in force, whether it was fetched
// just now, and part of the error.
func (s *sender) expect(what, inForce string, fetches int32, problem string) State {
	s.t.Helper()
	before := s.host.requests.Load()
	st := s.Get(s.t.Context(), domain)
	got := "nothing"
	if st.Policy != nil {
		got = fmt.Sprint(st.Policy.Mode, " ", st.ID)
	}
	if n := s.host.requests.Load() - before; got != inForce || n != fetches || !strings.Contains(fmt.Sprint(st.Err), problem) || st.Cached != (st.Policy != nil && (n == 0 || st.Err != nil)) {
		s.t.Errorf("%s: %s, cached %v, after %d fetches: %v\nwant %s after %d: %s", what, got, st.Cached, n, st.Err, inForce, fetches, problem)
	}
	return st
}

// pass lets time pass, and has the policy host renew its certificate.
func (s *sender) pass(d time.Duration) {
	time.Sleep(d) // of the test's clock
	s.host.certify()
	s.Roots = s.host.ca.Pool()
}

// The life of a policy (RFC 8461, sections 3.3, 5.1 and 8.3).
func TestGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, new(Cache))
		st := s.expect("the first time", "enforce one", 1, "<nil>")
		if want := time.Now().Add(7 * 24 * time.Hour); !st.Expires.Equal(want) {
			t.Errorf("expires %v, want %v", st.Expires, want)
		}
		s.pass(23 * time.Hour)
		s.expect("the same id", "enforce one", 0, "<nil>")
		s.pass(time.Hour)
		s.expect("a day later", "enforce one", 1, "<nil>")

		s.body = strings.Replace(enforce, "enforce", "testing", 1)
		s.expect("the policy changes, the id does not", "enforce one", 0, "<nil>")
		s.record("two")
		s.expect("a new id", "testing two", 1, "<nil>")

		s.body = ""
		s.record("three")
		s.expect("a new id, but no new policy", "testing two", 1, "404")
		s.expect("again at once", "testing two", 0, "404")
		s.record("four")
		s.expect("yet another id", "testing two", 1, "404")
		s.pass(5 * time.Minute)
		s.expect("five minutes later", "testing two", 1, "404")

		s.body = "nonsense"
		s.record("five")
		s.expect("a malformed policy", "testing two", 1, "line 1")

		s.names["_mta-sts."+domain] = nil
		s.expect("no answer from the DNS", "testing two", 0, "no answer")
		delete(s.names, "_mta-sts."+domain)
		if st := s.expect("the record is gone", "testing two", 0, "no MTA-STS record"); !errors.Is(st.Err, ErrNoRecord) {
			t.Error(st.Err)
		}
		s.pass(7 * 24 * time.Hour)
		s.expect("the policy has expired", "nothing", 0, "no MTA-STS record")

		s.record("six")
		s.body = "version: STSv1\nmode: none\nmax_age: 86400\n"
		s.expect("taken back", "none six", 1, "<nil>")
		s.body = "version: STSv1\nmode: enforce\nmx: a\nmax_age: 0\n"
		s.record("seven")
		s.expect("without life", "enforce seven", 1, "<nil>")
		s.expect("without life, again", "enforce seven", 1, "<nil>")
	})
}

func TestGetWithoutPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, new(Cache))
		s.body = ""
		st := s.expect("unknown, and not to be had", "nothing", 1, "404")
		var e *Error
		if !errors.As(st.Err, &e) || e.ResultType() != fetchError {
			t.Error(st.Err)
		}
		s.expect("again at once", "nothing", 0, "404")
		s.names["_mta-sts."+domain] = []string{"v=STSv1; id=?"}
		if st := s.expect("a malformed record", "nothing", 0, "the id"); !errors.As(st.Err, &e) || e.ResultType() != invalid {
			t.Error(st.Err)
		}
		s.names["_mta-sts."+domain] = []string{"v=STSv1; id=a", "v=STSv1; id=a"}
		s.expect("two records", "nothing", 0, "there are 2")

		s.Cache, s.body = nil, enforce
		s.record("one")
		s.expect("no cache", "enforce one", 1, "<nil>")
		s.expect("no cache, again", "enforce one", 1, "<nil>")
	})
}

// With a folder, policies outlive the process.
func TestCacheDir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := newSender(t, &Cache{Dir: dir})
		s.expect("the first time", "enforce one", 1, "<nil>")

		s.Cache = &Cache{Dir: dir}
		s.expect("another process", "enforce one", 0, "<nil>")
		s.Cache = &Cache{Dir: dir}
		s.pass(25 * time.Hour)
		s.body = ""
		s.expect("a day later", "enforce one", 1, "404")
		s.Cache = &Cache{Dir: dir}
		s.pass(6 * 24 * time.Hour)
		s.expect("expired", "nothing", 1, "404")

		file := filepath.Join(dir, domain+".json")
		check(t, os.WriteFile(file, []byte("{}"), 0o600))
		s.Cache = &Cache{Dir: dir}
		s.expect("a damaged file", "nothing", 1, "no field version")
		s.Cache = &Cache{Dir: filepath.Join(dir, "missing")}
		s.body = enforce
		if st := s.Get(t.Context(), domain); st.Policy == nil || st.Err == nil {
			t.Errorf("no folder: %+v", st)
		}
		left, err := os.ReadDir(dir)
		check(t, err)
		if len(left) != 1 {
			t.Errorf("%v is left", left)
		}
	})
}

// RFC 8461, section 4.
func TestCheck(t *testing.T) {
	ca, err := testca.New("test root")
	check(t, err)
	other, err := testca.New("test root")
	check(t, err)
	connection := func(ca *testca.CA, edit func(*x509.Certificate), names ...string) *tls.ConnectionState {
		cert, err := ca.Issue(edit, names...)
		check(t, err)
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf, ca.Certificate}}
	}
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}
	cnAlone := func(c *x509.Certificate) { c.DNSNames = nil; c.EmailAddresses = []string{"a@example.test"} }
	good := connection(ca, nil, "mx.example.test")
	p := &Policy{Mode: Enforce, MX: []string{"mx.example.test", "*.example.net"}}
	for _, c := range []struct {
		name   string
		policy *Policy
		mx     string
		state  *tls.ConnectionState
		err    any // nil: it satisfies
	}{
		{"good", p, "mx.example.test", good, nil},
		{"good, final dot", p, "MX.example.test.", good, nil},
		{"wildcards", p, "a.example.net", connection(ca, nil, "*.example.net"), nil},
		{"none asks nothing", &Policy{Mode: None}, "mx.example.test", nil, nil},
		{"testing asks the same", &Policy{Mode: Testing, MX: p.MX}, "mx.example.test", nil, new(*Error)},
		{"not listed", p, "other.example.test", good, new(*Error)},
		{"no TLS", p, "mx.example.test", nil, new(*Error)},
		{"listed, but another's certificate", p, "a.example.net", good, new(x509.HostnameError)},
		{"the domain's certificate", p, "mx.example.test", connection(ca, nil, "example.test"), new(x509.HostnameError)},
		{"common name alone", p, "mx.example.test", connection(ca, cnAlone, "mx.example.test"), new(x509.HostnameError)},
		{"expired", p, "mx.example.test", connection(ca, expired, "mx.example.test"), new(x509.CertificateInvalidError)},
		{"unknown root", p, "mx.example.test", connection(other, nil, "mx.example.test"), new(x509.UnknownAuthorityError)},
	} {
		err := c.policy.Check(c.mx, c.state, ca.Pool())
		if (err == nil) != (c.err == nil) || c.err != nil && !errors.As(err, c.err) {
			t.Errorf("%s: %v, want %T", c.name, err, c.err)
		}
	}
	for mx, want := range map[string]string{"mx.example.test": noTLS, "other.example.test": otherFailure} {
		var e *Error
		if err := p.Check(mx, nil, nil); !errors.As(err, &e) || e.ResultType() != want {
			t.Errorf("%s: %v", mx, err)
		}
	}
}
