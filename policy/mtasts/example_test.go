package mtasts_test

import (
	"fmt"

	"example.org/starttls/policy/mtasts"
)

func Example() {
	// Client.Get finds the policy of a domain:
	//	client := mtasts.Client{Cache: &mtasts.Cache{Dir: "/var/cache/mta-sts"}}
	//	state := client.Get(ctx, "example.test")
	policy, err := mtasts.ParsePolicy([]byte("version: STSv1\nmode: enforce\nmx: *.example.test\nmax_age: 604800\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(policy.Mode, policy.Match("mx.example.test"), policy.Match("mx.example.net"))

	// The state of a TLS connection would be given in the place of nil.
	fmt.Println(policy.Check("mx.example.test", nil, nil))
	// Output:
	// enforce true false
	// mx.example.test: there is no TLS, which the MTA-STS policy asks for
}
