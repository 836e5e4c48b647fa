package mta

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"example.org/starttls/policy/tlsrpt"
)

const reportText = `{"organization-name":"sender","report-id":"1","date-range":{"start-datetime":"2026-11-25T00:00:00Z","end-datetime":"2026-11-25T23:59:59Z"},
"policies":[{"policy":{"policy-type":"tlsa","policy-domain":"MX.tlsrpt-mail.lab.test."},"summary":{"total-successful-session-count":0,"total-failure-session-count":1}}]}`

func TestReportIn(t *testing.T) {
	var gzipped bytes.Buffer
	r, err := tlsrpt.Read(strings.NewReader(reportText))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Write(&gzipped); err != nil {
		t.Fatal(err)
	}
	mixed := func(body, b string) string {
		return "Content-Type: multipart/mixed; boundary=" + b + "\r\n\r\n--" + b + "\r\nContent-Type: text/plain\r\n\r\nhello\r\n--" + b + "\r\n" + body + "\r\n--" + b + "--\r\n"
	}
	for name, c := range map[string]struct {
		message string
		found   bool
	}{
		"bare":             {"Content-Type: application/tlsrpt+json\r\n\r\n" + reportText, true},
		"report":           {reportMail(gzipped.Bytes()), true},
		"within":           {mixed(reportMail(gzipped.Bytes()), "a"), true},
		"too deep":         {mixed(mixed(mixed(reportMail(gzipped.Bytes()), "a"), "b"), "c"), false},
		"another type":     {"Content-Type: application/json\r\n\r\n" + reportText, false},
		"without a type":   {"Subject: x\r\n\r\n" + reportText, false},
		"not what it says": {"Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("no")), false},
		"many parts":       {"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + strings.Repeat("--a\r\n\r\nx\r\n", 100) + "--a\r\nContent-Type: application/tlsrpt+json\r\n\r\n" + reportText + "\r\n--a--\r\n", false},
	} {
		r, err := reportIn([]byte(c.message))
		if (err == nil) != c.found {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (len(about(r, "tlsrpt-mail.lab.test")) != 1 || len(about(r, "mail.lab.test")) != 0) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// A report that tells of no failure is none of this one.
func TestReportWithoutFailure(t *testing.T) {
	t.Parallel()
	cases, err := Matching([]string{"tlsrpt-mail"})
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, Options{Cases: cases})
	r, err := tlsrpt.Read(strings.NewReader(reportText))
	if err != nil {
		t.Fatal(err)
	}
	l.asked("tlsrpt-mail.lab.test.")
	l.reported(r)
	if got := l.sites[1].judge(); got.Verdict != "warn" || !strings.Contains(strings.Join(got.Evidence, "\n"), "report 1 of sender, 2026-11-25T00:00:00Z") {
		t.Error(describe(got))
	}
}

func FuzzReportIn(f *testing.F) {
	f.Add([]byte(reportMail([]byte("\x1f\x8b"))))
	f.Add([]byte("Content-Type: application/tlsrpt+json\r\n\r\n" + reportText))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := reportIn(b)
		if (r == nil) != (err != nil) {
			t.Errorf("%v, %v", r, err)
		}
		if err == nil {
			shown(r, "lab.test")
		}
	})
}
