package badserver

import (
	"crypto/rand"
	"math/big"

	"example.org/starttls/internal/tlsprobe/tlswire"
)

// Flaw is a server with one thing wrong.
type Flaw struct {
	Name  string
	About string
	Set   func(*Config)
}

// Flaws are all there are.
var Flaws = []Flaw{
	{"ssl2", "speaks SSL 2.0, export ciphers included (DROWN)", func(c *Config) { c.SSL2 = tlswire.SSL2Ciphers }},
	{"ssl3", "speaks SSL 3.0 with CBC (POODLE)", func(c *Config) {
		c.Versions, c.Suites = []uint16{tlswire.SSL3, tlswire.TLS12}, []uint16{0xc02f, 0x002f}
	}},
	{"export-rsa", "has export suites with RSA keys of 512 bits (FREAK)", suites(0x0003, 0x0008)},
	{"export-dhe", "has export suites with a prime of 512 bits (Logjam)", func(c *Config) {
		suites(0x0014)(c)
		c.Prime = shortPrime()
	}},
	{"anonymous", "has suites without a certificate", suites(0x0034, 0xc018)},
	{"null", "has suites that encrypt nothing", suites(0x0002, 0x003b)},
	{"rc4", "has RC4", suites(0x0005)},
	{"3des", "has 3DES (Sweet32)", suites(0x000a)},
	{"unbound-keys", "does not bind its keys to the handshake (RFC 7627)", func(c *Config) { c.UnboundKeys = true }},
	{"deflate", "compresses (CRIME)", func(c *Config) { c.Deflate = true }},
	{"insecure-renegotiation", "renegotiates, and does not bind the new handshake to the old", func(c *Config) {
		c.Unbound, c.Renegotiates = true, true
	}},
	{"renegotiation", "renegotiates as often as a client likes", func(c *Config) { c.Renegotiates = true }},
	{"heartbleed", "answers heartbeats with more than they held", func(c *Config) { c.Heartbleed = true }},
	{"early-ccs", "takes ChangeCipherSpec before there are keys", func(c *Config) { c.EarlyCCS = true }},
	{"robot", "tells wrong padding from a wrong secret", func(c *Config) { c.ROBOT = true }},
	{"ticketbleed", "gives back longer session IDs than it was given", func(c *Config) { c.Ticketbleed = true }},
	{"common-prime", "uses a prime of 1024 bits that many share (Logjam)", func(c *Config) { c.Prime = prime(prime1024) }},
	{"any-alpn", "goes on when it knows none of the client's application protocols (ALPACA)", func(c *Config) {
		c.ALPN, c.AnyALPN = []string{"imap"}, true
	}},
	{"needs-sni", "refuses clients that do not name it", func(c *Config) { c.NeedsName = true }},
	{"one-segment", "waits for ever for the rest of a hello that came in two segments", func(c *Config) { c.ReadsOnce = true }},
	{"no-fallback-scsv", "takes an older version from a client that says it fell back", func(c *Config) {
		c.Versions, c.IgnoresSignals = []uint16{tlswire.TLS11, tlswire.TLS12}, true
	}},
	{"client-order", "takes the cipher suite that the client likes best", func(c *Config) { c.ClientOrder = true }},
}

// suites adds suites to the good ones.
func suites(bad ...uint16) func(*Config) {
	return func(c *Config) { c.Suites = append(goodSuites[:len(goodSuites):len(goodSuites)], bad...) }
}

// Primes that many servers use for DHE, in hexadecimal: prime1024 is RFC 2409's
// second group, prime2048 RFC 3526's 14th.
const (
	prime1024 = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd" +
		"ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed" +
		"ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff"
	prime2048 = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd" +
		"ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed" +
		"ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f" +
		"83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b" +
		"e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510" +
		"15728e5a8aacaa68ffffffffffffffff"
)

func prime(hex string) *big.Int {
	p, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("not a number: " + hex)
	}
	return p
}

// shortPrime makes a prime as long as export suites allow.
func shortPrime() *big.Int {
	p, err := rand.Prime(rand.Reader, 512)
	if err != nil {
		panic(err) // no randomness
	}
	return p
}
