package main

import (
	"errors"
	"testing"

	"github.com/emersion/go-sasl"
)

// LOGIN answers two prompts and no third.
func TestLogin(t *testing.T) {
	c := &loginClient{user: "me", password: "secret"}
	if mechanism, initial, err := c.Start(); mechanism != "LOGIN" || initial != nil || err != nil {
		t.Errorf("%s %q %v", mechanism, initial, err)
	}
	for _, want := range []string{"me", "secret"} {
		if got, err := c.Next([]byte("whatever")); string(got) != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if _, err := c.Next(nil); !errors.Is(err, sasl.ErrUnexpectedServerChallenge) {
		t.Errorf("a third prompt: %v", err)
	}
}

// XOAUTH2 says all at once, and answers the error report with nothing, which is
// not the same as ending the exchange.
func TestXOAUTH2(t *testing.T) {
	c := &xoauth2{"me@example.org", "token"}
	mechanism, initial, err := c.Start()
	if mechanism != "XOAUTH2" || string(initial) != "user=me@example.org\x01auth=Bearer token\x01\x01" || err != nil {
		t.Errorf("%s %q %v", mechanism, initial, err)
	}
	if got, err := c.Next([]byte(`{"status":"401"}`)); got == nil || len(got) > 0 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
