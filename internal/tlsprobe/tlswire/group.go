package tlswire

// Groups of interest to key shares and curves (IANA's registry "TLS Supported
// Groups").
const (
	P256               uint16 = 23
	P384               uint16 = 24
	P521               uint16 = 25
	X25519             uint16 = 29
	X448               uint16 = 30
	FFDHE2048          uint16 = 256
	SecP256r1MLKEM768  uint16 = 4587
	X25519MLKEM768     uint16 = 4588
	SecP384r1MLKEM1024 uint16 = 4589
)

var groupNames = []struct {
	id   uint16
	name string
}{
	{X25519MLKEM768, "X25519MLKEM768"}, {SecP256r1MLKEM768, "SecP256r1MLKEM768"},
	{SecP384r1MLKEM1024, "SecP384r1MLKEM1024"}, {4590, "curveSM2MLKEM768"},
	{0x6399, "X25519Kyber768Draft00"}, {0x639a, "SecP256r1Kyber768Draft00"},
	{512, "MLKEM512"}, {513, "MLKEM768"}, {514, "MLKEM1024"},
	{X25519, "x25519"}, {P256, "secp256r1"}, {P384, "secp384r1"}, {P521, "secp521r1"}, {X448, "x448"},
	{26, "brainpoolP256r1"}, {27, "brainpoolP384r1"}, {28, "brainpoolP512r1"},
	{31, "brainpoolP256r1tls13"}, {32, "brainpoolP384r1tls13"}, {33, "brainpoolP512r1tls13"},
	{34, "GC256A"}, {35, "GC256B"}, {36, "GC256C"}, {37, "GC256D"}, {38, "GC512A"}, {39, "GC512B"}, {40, "GC512C"},
	{41, "curveSM2"},
	{FFDHE2048, "ffdhe2048"}, {257, "ffdhe3072"}, {258, "ffdhe4096"}, {259, "ffdhe6144"}, {260, "ffdhe8192"},
	{1, "sect163k1"}, {2, "sect163r1"}, {3, "sect163r2"}, {4, "sect193r1"}, {5, "sect193r2"}, {6, "sect233k1"},
	{7, "sect233r1"}, {8, "sect239k1"}, {9, "sect283k1"}, {10, "sect283r1"}, {11, "sect409k1"}, {12, "sect409r1"},
	{13, "sect571k1"}, {14, "sect571r1"}, {15, "secp160k1"}, {16, "secp160r1"}, {17, "secp160r2"}, {18, "secp192k1"},
	{19, "secp192r1"}, {20, "secp224k1"}, {21, "secp224r1"}, {22, "secp256k1"},
}

// AllGroups lists the groups, as one would like them offered.
func AllGroups() []uint16 {
	ids := make([]uint16, len(groupNames))
	for i, g := range groupNames {
		ids[i] = g.id
	}
	return ids
}

// GroupName is the name in IANA's registry, or the number in hexadecimal.
func GroupName(id uint16) string {
	for _, g := range groupNames {
		if g.id == id {
			return g.name
		}
	}
	return hex16(id)
}

// Signature schemes of interest (IANA's registry "TLS SignatureScheme"; up to
// TLS 1.1 of RFC 5246 the two bytes are a hash and a signature algorithm).
const (
	PKCS1SHA1   uint16 = 0x0201
	PKCS1SHA256 uint16 = 0x0401
	PSSSHA256   uint16 = 0x0804
	ECDSAP256   uint16 = 0x0403
)

var schemeNames = []struct {
	id   uint16
	name string
}{
	{ECDSAP256, "ecdsa_secp256r1_sha256"}, {0x0503, "ecdsa_secp384r1_sha384"}, {0x0603, "ecdsa_secp521r1_sha512"},
	{0x0807, "ed25519"}, {0x0808, "ed448"},
	{PSSSHA256, "rsa_pss_rsae_sha256"}, {0x0805, "rsa_pss_rsae_sha384"}, {0x0806, "rsa_pss_rsae_sha512"},
	{0x0809, "rsa_pss_pss_sha256"}, {0x080a, "rsa_pss_pss_sha384"}, {0x080b, "rsa_pss_pss_sha512"},
	{PKCS1SHA256, "rsa_pkcs1_sha256"}, {0x0501, "rsa_pkcs1_sha384"}, {0x0601, "rsa_pkcs1_sha512"},
	{0x081a, "ecdsa_brainpoolP256r1tls13_sha256"}, {0x081b, "ecdsa_brainpoolP384r1tls13_sha384"},
	{0x081c, "ecdsa_brainpoolP512r1tls13_sha512"}, {0x0708, "sm2sig_sm3"},
	{0x0904, "mldsa44"}, {0x0905, "mldsa65"}, {0x0906, "mldsa87"},
	{0x0303, "ecdsa_sha224"}, {0x0301, "rsa_pkcs1_sha224"}, {0x0203, "ecdsa_sha1"}, {PKCS1SHA1, "rsa_pkcs1_sha1"},
	{0x0402, "dsa_sha256"}, {0x0302, "dsa_sha224"}, {0x0202, "dsa_sha1"}, {0x0101, "rsa_pkcs1_md5"},
}

// AllSchemes lists the signature schemes, as one would like them offered.
func AllSchemes() []uint16 {
	ids := make([]uint16, len(schemeNames))
	for i, s := range schemeNames {
		ids[i] = s.id
	}
	return ids
}

// SchemeName is the name in IANA's registry, or the number in hexadecimal.
func SchemeName(id uint16) string {
	for _, s := range schemeNames {
		if s.id == id {
			return s.name
		}
	}
	return hex16(id)
}
