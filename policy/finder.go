package policy

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"

	"example.org/starttls/policy/dane"
	"example.org/starttls/policy/dnssec"
	"example.org/starttls/policy/mtasts"
	"example.org/starttls/policy/tlsrpt"
)

// maxHosts is how many MX hosts of a domain are looked at, and how many of them
// at a time.
const (
	maxHosts = 50
	atOnce   = 4
)

// Finder looks up the policies of mail domains. It is safe for concurrent use.
type Finder struct {
	DNS  *dnssec.Resolver
	STS  *mtasts.Client // nil: MTA-STS is not looked up
	Port uint16         // of the mail servers; 0: 25
}

// Domain is what was found of a domain.
type Domain struct {
	Name     string
	MXSecure bool         // DNSSEC proved what its MX records are
	NullMX   bool         // it takes no mail (RFC 7505): there are no hosts
	Hosts    []Host       // best preference first, 50 at most; itself if it has no MX records
	STS      mtasts.State // the zero value if MTA-STS was not looked up

	TLSRPT    tlsrpt.Record
	TLSRPTErr error // why there is no such record, or tlsrpt.ErrNoRecord
}

// ErrNoDomain: the domain does not exist.
var ErrNoDomain = errors.New("the domain does not exist")

// Domain looks up where mail for a domain goes, and what TLS must be on the way.
// It is an error if that cannot be told, *dnssec.Error or ErrNoDomain: mail then
// has to wait.
func (f *Finder) Domain(ctx context.Context, name string) (*Domain, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	mx, err := f.DNS.MX(ctx, name)
	if err != nil {
		return nil, err
	}
	d := &Domain{Name: name, MXSecure: mx.Secure}
	names := []string{name} // by which the hosts are found (RFC 7672, section 3.2.2)
	if mx.Name != name {
		names = append(names, mx.Name)
	}
	switch {
	case mx.NXDomain:
		return nil, ErrNoDomain
	case len(mx.Records) == 0:
		d.Hosts = []Host{{Name: name}}
	case len(mx.Records) == 1 && mx.Records[0].Host == ".":
		d.NullMX = true
	default:
		for _, r := range mx.Records[:min(len(mx.Records), maxHosts)] {
			d.Hosts = append(d.Hosts, Host{Name: r.Host})
		}
	}
	if !mx.Secure {
		names = nil
	}
	f.policies(ctx, d, names)
	return d, nil
}

// policies fills in what is said of the domain and of its hosts.
func (f *Finder) policies(ctx context.Context, d *Domain, names []string) {
	var all sync.WaitGroup
	if f.STS != nil {
		all.Go(func() { d.STS = f.STS.Get(ctx, d.Name) })
	}
	all.Go(func() { d.TLSRPT, d.TLSRPTErr = tlsrpt.LookupRecord(ctx, f.DNS, d.Name) })
	slots := make(chan struct{}, atOnce)
	for i := range d.Hosts {
		h := &d.Hosts[i]
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			h.DANE = dane.Lookup(ctx, f.DNS, dane.Service{Host: h.Name, Port: cmp.Or(f.Port, 25), Names: names})
		})
	}
	all.Wait()
	for i := range d.Hosts {
		h := &d.Hosts[i]
		h.Domain, h.MXSecure, h.STS = d.Name, d.MXSecure, d.STS.Policy
	}
}
