package demo

import (
	"context"
	"testing"

	"example.org/starttls/check"
)

func TestEveryServerGetsItsVerdict(t *testing.T) {
	d, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i, r := range d.Check(context.Background(), check.Options{Transcript: true}) {
		if why := d.Servers[i].Judge(r); why != "" {
			t.Errorf("%s %s: %s\n%+v", r.Protocol, d.Servers[i].Fault, why, r)
		}
	}
}
