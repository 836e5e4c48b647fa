// Package policy says what TLS to a mail server must be: [Effective] combines
// what the sender asks for with the domain's DANE records and its MTA-STS
// policy, and [Finder] looks these up. Its packages dnssec, dane, mtasts and
// tlsrpt do one thing each, and can be used without it.
package policy

import "fmt"

// Level is a demand on a connection, in Postfix's words and order.
type Level int

// The levels.
const (
	None     Level = iota // no TLS
	May                   // TLS if it can be had, else cleartext
	Encrypt               // TLS, with whatever certificate
	DANE                  // TLS, with a certificate that the TLSA records stand for; as a sender's wish: if there are any
	DANEOnly              // the same, and nothing without them
	Verify                // TLS, with a valid certificate for the MX host
	Secure                // TLS, with a valid certificate for a name that the DNS cannot have forged
)

var words = [...]string{"none", "may", "encrypt", "dane", "dane-only", "verify", "secure"}

func (l Level) String() string { return words[l] }

// ParseLevel reads the word for a level.
func ParseLevel(word string) (Level, error) {
	for i, w := range words {
		if w == word {
			return Level(i), nil
		}
	}
	return None, fmt.Errorf("%q is not a level: they are %v", word, words)
}
