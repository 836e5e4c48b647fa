package interop

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	starttlscheck "example.org/starttls/check"
	"example.org/starttls/internal/demo"
	"example.org/starttls/internal/tlsprobe/tlswire"
	"example.org/starttls/protocol"
)

var testsslSuites = flag.Bool("testssl-suites", false, "have testssl.sh list suites too, which takes it minutes")

// surveyed is what a server has, as one tool tells it: suites by version.
type surveyed map[string][]string

// TestSurveysAgree has sslscan and testssl.sh list what a full check lists too.
// testssl.sh is asked of one server, and unless told otherwise for versions alone:
// it is slow.
func TestSurveysAgree(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"sslscan", "testssl"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program+" is not installed: run make peers")
		}
	}
	d, err := demo.Start(t.Context(), true, protocol.Submission)
	check(t, err)
	t.Cleanup(d.Close)
	served := func(fault string) func(testing.TB) string {
		return func(testing.TB) string {
			return d.Servers[slices.IndexFunc(d.Servers, func(s demo.Server) bool {
				return s.Target.Protocol.Info().Name == "submission" && s.Fault == fault
			})].Target.Address
		}
	}
	const modern = "Postfix without what is old"
	for _, c := range []struct {
		name string
		addr func(testing.TB) string
		want []string // the versions: a survey in which nobody sees anything agrees too
	}{
		{"Postfix", func(t testing.TB) string { return sharedPostfix(t).SMTP }, []string{"TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"}},
		{modern, func(t testing.TB) string {
			return startPostfix(t, postfixOptions{Main: []string{"smtpd_tls_protocols = >=TLSv1.2", "smtpd_tls_exclude_ciphers = aNULL"}}).SMTP
		}, []string{"TLS 1.2", "TLS 1.3"}},
		{"old TLS", served("old TLS"), []string{"TLS 1.0", "TLS 1.1"}},
		{"3DES", served("TLS has 3DES (Sweet32)"), []string{"TLS 1.2"}},
		{"RC4", served("TLS has RC4"), []string{"TLS 1.2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr := c.addr(t)
			ours := checkSurvey(t, addr)
			if got := slices.Sorted(maps.Keys(ours)); !slices.Equal(got, c.want) {
				t.Errorf("check: %v, want %v", got, c.want)
			}
			theirs := sslscanSurvey(t, addr)
			for _, version := range slices.Sorted(maps.Keys(ours)) {
				if !slices.Equal(ours[version], theirs[version]) {
					t.Errorf("%s: check\n%v, sslscan\n%v", version, ours[version], theirs[version])
				}
			}
			if got := slices.Sorted(maps.Keys(theirs)); !slices.Equal(got, c.want) {
				t.Errorf("sslscan: %v, want %v", got, c.want)
			}
			if c.name != modern {
				return
			}
			if got, ended := testsslVersions(t, addr); ended && !slices.Equal(got, c.want) {
				t.Errorf("testssl.sh: %v, want %v", got, c.want)
			}
			if *testsslSuites {
				if got := testsslSurvey(t, addr); !maps.EqualFunc(got, ours, slices.Equal) {
					t.Errorf("check\n%v, testssl.sh\n%v", ours, got)
				}
			}
		})
	}
}

// checkSurvey is ours.
func checkSurvey(t *testing.T, addr string) surveyed {
	start := time.Now()
	r := starttlscheck.Run(t.Context(), starttlscheck.Target{Protocol: protocol.Submission, Host: "127.0.0.1", Address: addr},
		starttlscheck.Options{Name: serverName, Full: true, Roots: x509.NewCertPool()})
	t.Logf("check took %v", time.Since(start).Round(time.Millisecond))
	out := surveyed{}
	for version, suites := range r.TLS.Suites {
		out[version] = slices.Sorted(slices.Values(suites))
	}
	for _, version := range r.TLS.Versions {
		if out[version] == nil {
			t.Errorf("check: %s has no suites", version)
		}
	}
	return out
}

// sslscanSurvey reads sslscan's XML.
func sslscanSurvey(t *testing.T, addr string) surveyed {
	file := filepath.Join(t.TempDir(), "sslscan.xml")
	runSurvey(t, 90*time.Second, "sslscan", "--xml="+file, "--starttls-smtp", "--sni-name="+serverName, "--no-heartbleed", "--no-groups", addr)
	text, err := os.ReadFile(file)
	check(t, err)
	var doc struct {
		Ciphers []struct {
			Version string `xml:"sslversion,attr"`
			ID      string `xml:"id,attr"`
		} `xml:"ssltest>cipher"`
	}
	check(t, xml.Unmarshal(text, &doc))
	out := surveyed{}
	for _, c := range doc.Ciphers {
		var id uint16
		_, err := fmt.Sscanf(c.ID, "0x%x", &id)
		check(t, err)
		version := strings.Replace(c.Version, "TLSv", "TLS ", 1)
		out[version] = append(out[version], tlswire.SuiteByID(id).Name)
	}
	for _, suites := range out {
		slices.Sort(suites)
	}
	return out
}

// testsslVersions is what testssl.sh lists. Where the machine is too slow for it
// there is nothing to compare, and the log says so.
func testsslVersions(t *testing.T, addr string) (versions []string, ended bool) {
	said, ended := testssl(t, 90*time.Second, "-p", addr)
	if !ended {
		t.Log("testssl.sh was too slow: not compared")
		return nil, false
	}
	names := map[string]string{"SSLv2": "SSL 2.0", "SSLv3": "SSL 3.0", "TLS1": "TLS 1.0", "TLS1_1": "TLS 1.1", "TLS1_2": "TLS 1.2", "TLS1_3": "TLS 1.3"}
	for _, s := range said {
		if names[s.ID] != "" && strings.HasPrefix(s.Finding, "offered") {
			versions = append(versions, names[s.ID])
		}
	}
	slices.Sort(versions)
	return versions, true
}

// testsslSuite is a finding such as
// "TLS 1.2  xc02b   ECDHE-... TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".
var testsslSuite = regexp.MustCompile(`^TLS ?v?(1(?:\.\d)?) +x([0-9a-f]+) `)

func testsslSurvey(t *testing.T, addr string) surveyed {
	said, ended := testssl(t, 20*time.Minute, "-E", addr)
	if !ended {
		t.Fatal("testssl.sh had not ended after 20 minutes")
	}
	out := surveyed{}
	for _, s := range said {
		m := testsslSuite.FindStringSubmatch(s.Finding)
		if !strings.HasPrefix(s.ID, "cipher-") || m == nil {
			continue
		}
		id, err := strconv.ParseUint(m[2], 16, 16)
		check(t, err)
		version := "TLS " + m[1]
		if m[1] == "1" {
			version += ".0"
		}
		out[version] = append(out[version], tlswire.SuiteByID(uint16(id)).Name)
	}
	for _, suites := range out {
		slices.Sort(suites)
	}
	return out
}

// testsslSaid is one of testssl.sh's findings.
type testsslSaid struct{ ID, Finding string }

func testssl(t *testing.T, limit time.Duration, what, addr string) (said []testsslSaid, ended bool) {
	file := filepath.Join(t.TempDir(), "testssl.json")
	if !runSurvey(t, limit, "testssl", "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--ip", "127.0.0.1",
		"--jsonfile", file, "--starttls", "smtp", what, serverName+":"+portOf(addr)) {
		return nil, false
	}
	text, err := os.ReadFile(file)
	check(t, err)
	check(t, json.Unmarshal(text, &said))
	return said, true
}

// runSurvey runs a tool, and reports whether it ended in time. What it exits with
// is its own affair.
func runSurvey(t *testing.T, limit time.Duration, argv ...string) (ended bool) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // and its children
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	t.Logf("%s took %v: %v\n%s", argv[0], time.Since(start).Round(10*time.Millisecond), err, out[max(0, len(out)-2000):])
	return ctx.Err() == nil
}
