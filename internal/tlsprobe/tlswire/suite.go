package tlswire

import (
	"cmp"
	_ "embed"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// suites.txt is IANA's registry "TLS Cipher Suites" without the signalling
// values, and what was used without being registered: the export suites of 1024
// bits, Netscape's FIPS suites, the first ChaCha20 and the first GOST suites.
//
//go:embed suites.txt
var suitesText string

// Traits say what a cipher suite is like; all are read off its name.
type Traits uint16

// Traits.
const (
	Null          Traits = 1 << iota // encrypts nothing
	Anonymous                        // authenticates no server
	Export                           // keys of 40 or 56 bits, by a law of the nineties
	RC4                              // RFC 7465
	RC2                              //
	DES                              // keys of 56 bits
	TripleDES                        //
	CBC                              // MAC, then encrypt, in blocks
	AEAD                             //
	ForwardSecret                    // the certificate's key opens no recording
	Block64                          // blocks of 64 bits: Sweet32
	PSK                              // needs a key agreed on before
)

// Exchange is what the server says in ServerKeyExchange.
type Exchange uint8

// Exchanges.
const (
	OtherExchange Exchange = iota // of SRP, plain PSK and so on: not read here
	NoExchange                    // nothing, for its certificate is all: RSA, or a DH key in it
	ExportRSA                     // a temporary RSA key
	DHE
	ECDHE
)

// Suite is a cipher suite.
type Suite struct {
	ID       uint16
	Name     string // IANA's
	Traits   Traits
	From     uint16 // the oldest version that may use it; TLS 1.3 has suites of its own
	Exchange Exchange
}

// Is reports whether the suite has one of the traits.
func (s Suite) Is(t Traits) bool { return s.Traits&t != 0 }

// In reports whether the suite can be used in version.
func (s Suite) In(version uint16) bool {
	if s.From == TLS13 {
		return version == TLS13
	}
	return version != TLS13 && version >= s.From
}

var suiteTable = sync.OnceValue(func() map[uint16]Suite {
	table := map[uint16]Suite{}
	for line := range strings.Lines(suitesText) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(id, 16, 16)
		if err != nil {
			panic("suites.txt: " + line)
		}
		table[uint16(n)] = newSuite(uint16(n), name)
	}
	return table
})

// SuiteByID finds a suite. One that is not known is named by its number and has
// no traits.
func SuiteByID(id uint16) Suite {
	if s, ok := suiteTable()[id]; ok {
		return s
	}
	return Suite{ID: id, Name: hex16(id), From: SSL3}
}

// Suites lists the suites that can be used in version, the strongest first, and
// of equal ones those with ECDHE, which is cheap.
func Suites(version uint16) []uint16 {
	var ids []uint16
	for _, s := range sortedSuites() {
		if s.In(version) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

var sortedSuites = sync.OnceValue(func() []Suite {
	return slices.SortedFunc(maps.Values(suiteTable()), func(a, b Suite) int {
		return cmp.Or(cmp.Compare(a.weakness(), b.weakness()), -cmp.Compare(a.Exchange, b.Exchange), cmp.Compare(a.ID, b.ID))
	})
})

// weakness orders suites for an offer.
func (s Suite) weakness() int {
	score := 0
	for i, t := range []Traits{ForwardSecret, AEAD} { // their lack
		if !s.Is(t) {
			score |= 1 << i
		}
	}
	for i, t := range []Traits{Block64, RC4 | RC2 | DES, PSK, Export, Anonymous, Null} {
		if s.Is(t) {
			score |= 4 << i
		}
	}
	return score
}

func newSuite(id uint16, name string) Suite {
	s := Suite{ID: id, Name: name, From: SSL3}
	how, what, classic := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(name, "TLS_"), "SSL_"), "_WITH_")
	has := func(text string, any ...string) bool {
		return slices.ContainsFunc(any, func(part string) bool { return strings.Contains("_"+text+"_", part) })
	}
	add := func(t Traits, yes bool) {
		if yes {
			s.Traits |= t
		}
	}
	if !classic {
		what = how
	}
	modern := !classic || has(what, "_MGM_")
	add(Null, has(what, "_NULL_") || what == "SHA256_SHA256" || what == "SHA384_SHA384")
	add(Anonymous, has(how, "_anon_"))
	add(Export, has(how, "EXPORT") || has(what, "_40_"))
	add(RC4, has(what, "_RC4_"))
	add(RC2, has(what, "_RC2_"))
	add(DES, has(what, "_DES_", "_DES40_"))
	add(TripleDES, has(what, "_3DES_"))
	add(CBC, has(what, "_CBC_"))
	add(AEAD, has(what, "_GCM_", "_CCM_", "_POLY1305_", "_MGM_", "_AEGIS_"))
	add(ForwardSecret, modern || has(how, "_DHE_", "_ECDHE_", "_CECPQ1_", "_ECCPWD_"))
	add(Block64, has(what, "_3DES_", "_DES_", "_DES40_", "_IDEA_", "_RC2_", "_28147_", "_MAGMA_"))
	add(PSK, has(how, "_PSK_", "_SRP_", "_KRB5_", "_ECCPWD_"))
	switch {
	case modern:
		s.From = TLS13
	case s.Is(AEAD) || has(what, "_SHA256_", "_SHA384_", "_OMAC_"):
		s.From = TLS12
	}
	s.Exchange = exchange(how)
	return s
}

// exchange tells the kind of key exchange from the first half of a name.
func exchange(how string) Exchange {
	switch {
	case strings.HasPrefix(how, "ECDHE_") || strings.HasPrefix(how, "ECDH_anon"):
		return ECDHE
	case strings.HasPrefix(how, "DHE_") || strings.HasPrefix(how, "DH_anon"):
		return DHE
	case strings.HasPrefix(how, "RSA_EXPORT"):
		return ExportRSA
	case strings.HasPrefix(how, "RSA") && how != "RSA_PSK", strings.HasPrefix(how, "DH_"), strings.HasPrefix(how, "ECDH_"):
		return NoExchange
	}
	return OtherExchange
}
