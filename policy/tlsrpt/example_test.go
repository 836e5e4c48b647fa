package tlsrpt_test

import (
	"bytes"
	"fmt"

	"example.org/starttls/policy/tlsrpt"
)

func ExampleParseRecord() {
	r, err := tlsrpt.ParseRecord("v=TLSRPTv1; rua=mailto:tls-reports@example.test")
	fmt.Println(r.RUA, err)
	// Output: [mailto:tls-reports@example.test] <nil>
}

func ExampleReport_Write() {
	report := &tlsrpt.Report{ID: "2026-11-24", Policies: []tlsrpt.Result{{
		Policy:  tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: "mx.example.test", Strings: tlsrpt.Strings{"3 1 1 0d6f"}},
		Summary: tlsrpt.Summary{Successful: 7},
	}}}
	var b bytes.Buffer
	if err := report.Write(&b); err != nil {
		fmt.Println(err)
		return
	}
	again, err := tlsrpt.Read(&b)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(again.Policies[0].Policy.Type, again.Policies[0].Summary.Successful)
	// Output: tlsa 7
}
