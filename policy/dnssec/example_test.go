package dnssec_test

import (
	"context"
	"errors"
	"fmt"

	"example.org/starttls/internal/testdns"
	"example.org/starttls/policy/dnssec"
)

func Example() {
	server, err := testdns.New(
		testdns.Zone{Origin: "example.test", State: testdns.Secure, Text: "@ MX 10 mx\nmx A 192.0.2.1"},
		testdns.Zone{Origin: "broken.test", State: testdns.Bogus})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	r := dnssec.At(server.Addr) // for the system's: dnssec.System()
	mx, err := r.MX(context.Background(), "example.test")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(mx.Records[0].Host, mx.Secure)

	_, err = r.MX(context.Background(), "broken.test")
	var e *dnssec.Error
	fmt.Println(errors.As(err, &e) && e.Bogus)
	// Output:
	// mx.example.test true
	// true
}
