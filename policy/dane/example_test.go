package dane_test

import (
	"context"
	"encoding/hex"
	"fmt"

	"example.org/starttls/policy/dane"
)

// resolver stands for a validating one, such as package dnssec's.
type resolver struct{}

func (resolver) LookupRR(_ context.Context, name string, rrtype uint16) ([][]byte, string, bool, error) {
	switch rrtype {
	case 1: // A
		return [][]byte{{192, 0, 2, 1}}, name, true, nil
	case 52: // TLSA
		rdata, err := hex.DecodeString("030101" + "0d6fce3320315023ff499f3f3de1362d88f8380311ac8c036890dab13243a2b5")
		return [][]byte{rdata}, name, true, err
	}
	return nil, name, true, nil
}

func Example() {
	p := dane.Lookup(context.Background(), resolver{}, dane.Service{Host: "mx.example.test", Port: 25})
	fmt.Println(p.Demand, p.Records[0])
	fmt.Println(p.Reason)

	// Connect with p.Base as server name, without verification by crypto/tls, then:
	//	record, err := p.Verify(conn.ConnectionState().PeerCertificates, nil)

	// Output:
	// dane 3 1 1 0d6fce3320315023ff499f3f3de1362d88f8380311ac8c036890dab13243a2b5
	// there are TLSA records at _25._tcp.mx.example.test
}
