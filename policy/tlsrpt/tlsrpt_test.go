package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseRecord(t *testing.T) {
	for _, c := range []struct{ txt, want string }{ // want: the URIs, or "!" and part of the error
		{"v=TLSRPTv1;rua=mailto:tls@example.test", "[mailto:tls@example.test]"},
		{"v=TLSRPTv1; rua=https://r.example.test/v1?a=b;", "[https://r.example.test/v1?a=b]"},
		{"v=TLSRPTv1 ;\trua=mailto:a@example.test ,\thttps://r.example.test ; ", "[mailto:a@example.test https://r.example.test]"},
		{"v=TLSRPTv1;x.y-z_1=7;rua=mailto:a@example.test;rua=mailto:b@example.test", "[mailto:a@example.test]"},
		{"v=TLSRPTv1;rua=MAILTO:a@example.test", "[MAILTO:a@example.test]"},
		{"v=TLSRPTv1;rua=ftp://example.test,mailto:a@example.test", "[mailto:a@example.test]"},
		{"v=TLSRPTv2;rua=mailto:a@example.test", "!begins with"},
		{" v=TLSRPTv1;rua=mailto:a@example.test", "!begins with"},
		{"v=tlsrptv1;rua=mailto:a@example.test", "!begins with"},
		{"", "!begins with"},
		{"v=TLSRPTv1", "!no field rua"},
		{"v=TLSRPTv1;", "!no field rua"},
		{"v=TLSRPTv1;RUA=mailto:a@example.test", "!no field rua"},
		{"v=TLSRPTv1;;rua=mailto:a@example.test", "!not of the form"},
		{"v=TLSRPTv1;rua", "!not of the form"},
		{"v=TLSRPTv1;rua=", "!not of the form"},
		{"v=TLSRPTv1;-a=b;rua=mailto:a@example.test", "!not of the form"},
		{"v=TLSRPTv1;rua=mailto:nobody", "!neither a mailto nor an https URI"},
		{"v=TLSRPTv1;rua=https:", "!neither a mailto nor an https URI"},
		{"v=TLSRPTv1;rua=http://example.test", "!neither a mailto nor an https URI"},
		{"v=TLSRPTv1;rua=mailto:a@example.test!10m", "!not a URI"},
		{"v=TLSRPTv1;rua=,", "!neither"},
	} {
		r, err := ParseRecord(c.txt)
		got := fmt.Sprint(r.RUA)
		if err != nil {
			got = "!" + err.Error()
		}
		if got != c.want && !(strings.HasPrefix(c.want, "!") && strings.Contains(got, c.want[1:]) && err != nil) {
			t.Errorf("%q: %s, want %s", c.txt, got, c.want)
		}
	}
}

type zone map[string][]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if strings.HasSuffix(name, "fails.test") {
		return nil, errors.New("no answer")
	}
	if txt, ok := z[name]; ok {
		return txt, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func TestLookupRecord(t *testing.T) {
	const good, other = "v=TLSRPTv1;rua=mailto:a@example.test", "v=spf1 -all"
	z := zone{
		"_smtp._tls.one.test":   {other, good},
		"_smtp._tls.none.test":  {other, "v=TLSRPTv1"},
		"_smtp._tls.two.test":   {good, good},
		"_smtp._tls.wrong.test": {"v=TLSRPTv1;"},
	}
	for domain, want := range map[string]string{
		"one.test.": "<nil>", "none.test": ErrNoRecord.Error(), "missing.test": ErrNoRecord.Error(),
		"two.test":   ErrNoRecord.Error() + ": there are 2, and there may be but one",
		"wrong.test": "there is no field rua", "fails.test": "no answer",
	} {
		r, err := LookupRecord(t.Context(), z, domain)
		if fmt.Sprint(err) != want || (err == nil) != (len(r.RUA) == 1) {
			t.Errorf("%s: %v, %v", domain, r, err)
		}
	}
	if _, err := LookupRecord(t.Context(), z, "two.test"); !errors.Is(err, ErrNoRecord) {
		t.Error(err)
	}
}

func sample() *Report {
	day := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	return &Report{
		Organization: "Example", Contact: "tls@sender.example", ID: "2026-11-24-example.test",
		DateRange: DateRange{day, day.Add(24*time.Hour - time.Second)},
		Policies: []Result{{
			Policy:   Policy{Type: STS, Strings: Strings{"version: STSv1", "mode: testing"}, Domain: "example.test", MXHosts: Strings{"*.example.test"}},
			Summary:  Summary{Successful: 12, Failed: 3},
			Failures: []Failure{{Type: Expired, SendingIP: "192.0.2.1", MXHost: "mx.example.test", ReceivingIP: "192.0.2.2", Sessions: 3}},
		}, {
			Policy: Policy{Type: NoPolicy, Domain: "example.test"},
		}},
	}
}

// What is written is what was meant, and is read back as the same.
func TestReport(t *testing.T) {
	want := sample()
	var b bytes.Buffer
	if err := want.Write(&b); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := json.NewDecoder(z).Decode(&raw); err != nil {
		t.Fatal(err)
	}
	first := raw["policies"].([]any)[0].(map[string]any)
	if got := fmt.Sprint(raw["date-range"], first["policy"], first["summary"], first["failure-details"]); got !=
		"map[end-datetime:2026-11-24T23:59:59Z start-datetime:2026-11-24T00:00:00Z] "+
			"map[mx-host:[*.example.test] policy-domain:example.test policy-string:[version: STSv1 mode: testing] policy-type:sts] "+
			"map[total-failure-session-count:3 total-successful-session-count:12] "+
			"[map[failed-session-count:3 receiving-ip:192.0.2.2 receiving-mx-hostname:mx.example.test result-type:certificate-expired sending-mta-ip:192.0.2.1]]" {
		t.Error(got)
	}
	got, err := Read(&b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v (%v)", got, want, err)
	}
	if name := want.Filename("example.test"); name != "sender.example!example.test!1795478400!1795564799.json.gz" {
		t.Error(name)
	}
}

// Senders' reports differ in form.
func TestReadVariants(t *testing.T) {
	r, err := Read(strings.NewReader(`{"date-range":{"start-datetime":"2026-11-24T00:00:00","end-datetime":"2026-11-25T01:00:00+01:00"},"extra":1,
		"policies":[{"policy":{"policy-type":"tlsa","policy-string":"3 1 1 ab","mx-host":"mx.example.test"},"failure-details":null},
		            {"policy":{"policy-type":"sts","policy-string":null}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.DateRange.End.Sub(r.DateRange.Start) != 24*time.Hour || r.DateRange.Start.Location() != time.UTC {
		t.Error(r.DateRange)
	}
	if p := r.Policies[0].Policy; !slices.Equal(p.Strings, Strings{"3 1 1 ab"}) || !slices.Equal(p.MXHosts, Strings{"mx.example.test"}) || r.Policies[1].Policy.Strings != nil {
		t.Errorf("%+v", r.Policies)
	}
}

func TestReadBad(t *testing.T) {
	compressed := func(s string) string {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.NoCompression) // which takes least time
		z.Write([]byte(s))
		z.Close()
		return b.String()
	}
	const valid = `{"date-range":{"start-datetime":"2026-11-24T00:00:00Z","end-datetime":"2026-11-24T00:00:00Z"}}`
	if _, err := Read(strings.NewReader(compressed(valid) + "\n")); err == nil {
		t.Error("what follows the compressed report is ignored")
	}
	for name, text := range map[string]string{
		"empty":              "",
		"no JSON":            "hello",
		"cut":                valid[:20],
		"two":                valid + valid,
		"no time":            `{"date-range":{"start-datetime":"yesterday","end-datetime":"2026-11-24T00:00:00Z"}}`,
		"a list of numbers":  `{"policies":[{"policy":{"policy-string":[1]}}]}`,
		"cut gzip":           compressed(valid)[:20],
		"long when unpacked": compressed(valid + strings.Repeat(" ", maxReport)),
		"gzip header alone":  "\x1f\x8b",
		"a count in quotes":  `{"policies":[{"summary":{"total-failure-session-count":"3"}}]}`,
	} {
		if r, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if _, err := Read(strings.NewReader(valid + " \n")); err != nil {
		t.Error(err)
	}
}

type typed string

func (e typed) Error() string      { return "typed" }
func (e typed) ResultType() string { return string(e) }

func TestTypeOf(t *testing.T) {
	past, future := &x509.Certificate{NotAfter: time.Now().Add(-time.Hour)}, &x509.Certificate{NotAfter: time.Now().Add(time.Hour)}
	for _, c := range []struct {
		err  error
		want ResultType
	}{
		{nil, ""},
		{errors.New("something"), ValidationFailure},
		{fmt.Errorf("wrapped: %w", typed("sts-policy-invalid")), STSInvalid},
		{&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: future, Host: "mx.example.test"}}, HostMismatch},
		{x509.CertificateInvalidError{Cert: past, Reason: x509.Expired}, Expired},
		{x509.CertificateInvalidError{Cert: future, Reason: x509.Expired}, NotTrusted}, // not yet valid
		{x509.CertificateInvalidError{Cert: future, Reason: x509.NotAuthorizedToSign}, NotTrusted},
		{errors.Join(errors.New("other"), x509.UnknownAuthorityError{Cert: future}), NotTrusted},
	} {
		got := TypeOf(c.err)
		if got != c.want || got != "" && !slices.Contains(Types, got) {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}
