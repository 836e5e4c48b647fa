package mtasts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
)

// ErrNoRecord: the domain does not say that it has a policy.
var ErrNoRecord = errors.New("there is no MTA-STS record")

// Record says that a domain has a policy (RFC 8461, section 3.1).
type Record struct {
	ID string // changes with the policy
}

// A TXTResolver looks up TXT records as [net.Resolver] does, which is one.
type TXTResolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// LookupRecord finds the record of a domain. Where there is none, or more than
// one, the error is ErrNoRecord; else it is an *Error.
func LookupRecord(ctx context.Context, r TXTResolver, domain string) (Record, error) {
	txts, err := r.LookupTXT(ctx, "_mta-sts."+domain)
	var e *net.DNSError
	if errors.As(err, &e) && e.IsNotFound {
		return Record{}, ErrNoRecord
	} else if err != nil {
		return Record{}, &Error{domain, fmt.Errorf("looking up the MTA-STS record: %w", err), fetchError}
	}
	var ours []string
	for _, txt := range txts {
		if strings.HasPrefix(txt, "v=STSv1;") {
			ours = append(ours, txt)
		}
	}
	switch len(ours) {
	case 0:
		return Record{}, ErrNoRecord
	case 1:
		record, err := ParseRecord(ours[0])
		if err != nil {
			err = &Error{domain, fmt.Errorf("the MTA-STS record: %w", err), invalid}
		}
		return record, err
	}
	return Record{}, fmt.Errorf("%w: there are %d, and there may be but one", ErrNoRecord, len(ours))
}

var (
	fieldName   = atFirstUse(`^[0-9A-Za-z][-0-9A-Za-z_.]{0,31}$`)
	recordValue = atFirstUse(`^[!-:<>-~]+$`)
	recordID    = atFirstUse(`^[0-9A-Za-z]{1,32}$`)
)

// atFirstUse compiles expr when it is first needed: every command would wait for
// it at its start.
func atFirstUse(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// ParseRecord reads the text of a record, its strings joined. Fields it does not
// know are ignored, and of one that comes twice all but the first.
func ParseRecord(txt string) (Record, error) {
	fields := strings.Split(txt, ";")
	if strings.TrimRight(fields[0], " \t") != "v=STSv1" {
		return Record{}, fmt.Errorf("it begins with %.40q, not with %q", txt, "v=STSv1;")
	}
	if last := len(fields) - 1; strings.Trim(fields[last], " \t") == "" {
		fields = fields[:last]
	}
	var id *string
	for _, f := range fields[1:] {
		name, value, ok := strings.Cut(strings.Trim(f, " \t"), "=")
		if !ok || !fieldName().MatchString(name) || !recordValue().MatchString(value) {
			return Record{}, fmt.Errorf("%.100q is not of the form name=value", f)
		}
		if name == "id" && id == nil {
			id = &value
		}
	}
	if id == nil {
		return Record{}, errors.New("there is no field id")
	}
	if !recordID().MatchString(*id) {
		return Record{}, fmt.Errorf("the id %.100q is not 1 to 32 letters and digits", *id)
	}
	return Record{*id}, nil
}
