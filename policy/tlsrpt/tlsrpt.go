// Package tlsrpt has the data of SMTP TLS reporting (RFC 8460): the record by
// which a domain asks for reports, the reports, which [Read] reads and
// [Report.Write] writes, and the words for what can fail.
package tlsrpt

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// MediaType is that of what [Report.Write] writes.
const MediaType = "application/tlsrpt+gzip"

// maxReport is the most bytes of JSON that are read: the limit that RFC 8460,
// section 5.2, says receivers have.
const maxReport = 10 << 20

// Report is what one sender saw of one domain's servers in one day. The names
// in JSON are RFC 8460's, section 4.4.
type Report struct {
	Organization string    `json:"organization-name"`
	DateRange    DateRange `json:"date-range"`
	Contact      string    `json:"contact-info"` // a mail address
	ID           string    `json:"report-id"`
	Policies     []Result  `json:"policies"`
}

// DateRange is a day in UTC.
type DateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// Result is what came of one policy.
type Result struct {
	Policy   Policy    `json:"policy"`
	Summary  Summary   `json:"summary"`
	Failures []Failure `json:"failure-details,omitempty"`
}

// Policy is one that was applied.
type Policy struct {
	Type    PolicyType `json:"policy-type"`
	Strings Strings    `json:"policy-string,omitempty"` // the TLSA records, or the lines of the MTA-STS policy
	Domain  string     `json:"policy-domain"`           // for TLSA the base domain
	MXHosts Strings    `json:"mx-host,omitempty"`       // the patterns of an MTA-STS policy
}

// Summary counts sessions.
type Summary struct {
	Successful int64 `json:"total-successful-session-count"`
	Failed     int64 `json:"total-failure-session-count"`
}

// Failure counts the sessions that failed in one way.
type Failure struct {
	Type        ResultType `json:"result-type"`
	SendingIP   string     `json:"sending-mta-ip,omitempty"`
	MXHost      string     `json:"receiving-mx-hostname,omitempty"`
	MXHelo      string     `json:"receiving-mx-helo,omitempty"`
	ReceivingIP string     `json:"receiving-ip,omitempty"`
	Sessions    int64      `json:"failed-session-count"`
	Information string     `json:"additional-information,omitempty"` // a URI
	Reason      string     `json:"failure-reason-code,omitempty"`
}

// Strings is a list of strings. Where a single string or null stands instead,
// as some senders write it, that is read too.
type Strings []string

// UnmarshalJSON implements [json.Unmarshaler].
func (s *Strings) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*s = make(Strings, 1)
		return json.Unmarshal(b, &(*s)[0])
	}
	return json.Unmarshal(b, (*[]string)(s))
}

// UnmarshalJSON implements [json.Unmarshaler]. Times without zone, as some
// senders write them, are taken for UTC.
func (d *DateRange) UnmarshalJSON(b []byte) error {
	var v struct {
		Start string `json:"start-datetime"`
		End   string `json:"end-datetime"`
	}
	err := json.Unmarshal(b, &v)
	if err == nil {
		d.Start, err = dateTime(v.Start)
	}
	if err == nil {
		d.End, err = dateTime(v.End)
	}
	return err
}

func dateTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		if t, errZ := time.Parse(time.RFC3339, s+"Z"); errZ == nil {
			return t, nil
		}
	}
	return t, err
}

// Read reads a report, compressed by gzip or not, of 10 MiB at most.
func Read(r io.Reader) (*Report, error) {
	in := bufio.NewReader(r)
	var text io.Reader = in
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		text = z
	}
	b, err := io.ReadAll(io.LimitReader(text, maxReport+1))
	if err == nil && len(b) > maxReport {
		err = fmt.Errorf("it is longer than %d bytes", maxReport)
	}
	report := new(Report)
	if err == nil {
		err = json.Unmarshal(b, report)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a TLS report: %w", err)
	}
	return report, nil
}

// Write writes the report, compressed by gzip.
func (r *Report) Write(w io.Writer) error {
	utc := *r
	utc.DateRange = DateRange{r.DateRange.Start.UTC(), r.DateRange.End.UTC()}
	z := gzip.NewWriter(w)
	if err := json.NewEncoder(z).Encode(utc); err != nil {
		return err
	}
	return z.Close()
}

// Filename is the name of the written report's file, to the policy domain it is
// for (RFC 8460, section 5.1).
func (r *Report) Filename(domain string) string {
	sender := r.Contact[strings.LastIndexByte(r.Contact, '@')+1:]
	return fmt.Sprintf("%s!%s!%d!%d.json.gz", sender, domain, r.DateRange.Start.Unix(), r.DateRange.End.Unix())
}
