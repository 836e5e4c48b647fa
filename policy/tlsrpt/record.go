package tlsrpt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// ErrNoRecord: the domain asks for no reports.
var ErrNoRecord = errors.New("there is no TLSRPT record")

// Record says where a domain wants reports to be sent (RFC 8460, section 3).
type Record struct {
	RUA []string // mailto and https URIs
}

// A TXTResolver looks up TXT records as [net.Resolver] does, which is one.
type TXTResolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// LookupRecord finds the record of a domain. Without exactly one it is
// ErrNoRecord.
func LookupRecord(ctx context.Context, r TXTResolver, domain string) (Record, error) {
	txts, err := r.LookupTXT(ctx, "_smtp._tls."+strings.TrimSuffix(domain, "."))
	var e *net.DNSError
	if errors.As(err, &e) && e.IsNotFound {
		return Record{}, ErrNoRecord
	} else if err != nil {
		return Record{}, err
	}
	var ours []string
	for _, txt := range txts {
		if strings.HasPrefix(txt, "v=TLSRPTv1;") {
			ours = append(ours, txt)
		}
	}
	switch len(ours) {
	case 0:
		return Record{}, ErrNoRecord
	case 1:
		return ParseRecord(ours[0])
	}
	return Record{}, fmt.Errorf("%w: there are %d, and there may be but one", ErrNoRecord, len(ours))
}

// fieldName is compiled when it is first needed: every command would wait for it
// at its start.
var fieldName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9A-Za-z][-0-9A-Za-z_.]{0,31}$`) })

// ParseRecord reads the text of a record, its strings joined. Fields it does not
// know are ignored, and of one that comes twice all but the first; so are URIs
// that are neither mailto nor https, as long as there are others.
func ParseRecord(txt string) (Record, error) {
	fields := strings.Split(txt, ";")
	if strings.TrimRight(fields[0], " \t") != "v=TLSRPTv1" {
		return Record{}, fmt.Errorf("a TLSRPT record begins with %q, not %.40q", "v=TLSRPTv1;", txt)
	}
	if last := len(fields) - 1; strings.Trim(fields[last], " \t") == "" {
		fields = fields[:last]
	}
	rua, found := "", false
	for _, f := range fields[1:] {
		name, value, ok := strings.Cut(strings.Trim(f, " \t"), "=")
		if !ok || !fieldName().MatchString(name) || value == "" {
			return Record{}, fmt.Errorf("%.100q is not of the form name=value", f)
		}
		if name == "rua" && !found {
			rua, found = value, true
		}
	}
	if !found {
		return Record{}, errors.New("there is no field rua")
	}
	var r Record
	var bad error
	for uri := range strings.SplitSeq(rua, ",") {
		uri = strings.Trim(uri, " \t")
		if err := checkURI(uri); err != nil {
			bad = err
		} else {
			r.RUA = append(r.RUA, uri)
		}
	}
	if len(r.RUA) == 0 {
		return Record{}, bad
	}
	return r, nil
}

func checkURI(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || strings.Contains(uri, "!"): // which must be encoded
		return fmt.Errorf("%.100q is not a URI", uri)
	case u.Scheme == "mailto" && strings.Contains(u.Opaque, "@"), u.Scheme == "https" && u.Host != "":
		return nil
	}
	return fmt.Errorf("%.100q is neither a mailto nor an https URI", uri)
}
