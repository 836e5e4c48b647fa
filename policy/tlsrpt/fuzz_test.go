package tlsrpt

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// A record that is read asks for reports at addresses of the two kinds.
func FuzzParseRecord(f *testing.F) {
	f.Add("v=TLSRPTv1;rua=mailto:a@example.test,https://r.example.test/v1; x=y;")
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := ParseRecord(txt)
		if (err == nil) != (len(r.RUA) > 0) {
			t.Fatalf("%q: %v, %v", txt, r, err)
		}
		for _, uri := range r.RUA {
			if strings.ContainsAny(uri, ",;!") || checkURI(uri) != nil {
				t.Errorf("%q: %q", txt, uri)
			}
		}
	})
}

// A report that is read is the same when it is written and read again.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := sample().Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"date-range":{"start-datetime":"2026-11-24T00:00:00","end-datetime":"2026-11-24T23:59:59Z"},"policies":[{"policy":{"mx-host":"mx"}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			return // a year that RFC 3339 has no form for
		}
		again, err := Read(&b)
		if err != nil {
			t.Fatal(err)
		}
		r.DateRange.Start, r.DateRange.End = r.DateRange.Start.UTC(), r.DateRange.End.UTC()
		if !reflect.DeepEqual(normal(r), normal(again)) {
			t.Errorf("%+v\n%+v", r, again)
		}
	})
}

// normal makes of empty lists none, as writing does.
func normal(r *Report) Report {
	n := *r
	n.Policies = append([]Result(nil), r.Policies...)
	for i := range n.Policies {
		p := &n.Policies[i]
		p.Policy.Strings = append(Strings(nil), p.Policy.Strings...)
		p.Policy.MXHosts = append(Strings(nil), p.Policy.MXHosts...)
		p.Failures = append([]Failure(nil), p.Failures...)
	}
	return n
}
