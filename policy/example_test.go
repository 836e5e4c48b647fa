package policy_test

import (
	"fmt"

	"example.org/starttls/policy"
	"example.org/starttls/policy/dane"
	"example.org/starttls/policy/mtasts"
)

func ExampleEffective() {
	// A Finder looks these up:
	//	resolver, err := dnssec.System()
	//	finder := policy.Finder{DNS: resolver, STS: &mtasts.Client{Resolver: resolver}}
	//	domain, err := finder.Domain(ctx, "example.test")
	//	for _, host := range domain.Hosts { ... }
	host := policy.Host{
		Name: "mx.example.test", Domain: "example.test", MXSecure: true,
		DANE: &dane.Policy{Demand: dane.None, Reason: "there is no TLSA record at _25._tcp.mx.example.test"},
		STS:  &mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"mx.example.test"}},
	}
	d := policy.Effective(policy.May, host)
	fmt.Println(d.Level, "-", d.Reason)
	fmt.Println(d.Verify(nil, nil)) // nil: the connection has no TLS
	// Output:
	// secure - the MTA-STS policy of example.test
	// mx.example.test: there is no TLS, and the level is secure: the MTA-STS policy of example.test
}
