package lab

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"slices"
)

// An anonymous key exchange of TLS 1.2 (RFC 5246, section 7.4.3; RFC 4492,
// section 2.5), as far as it takes to see whether a client goes along with it:
// crypto/tls has none.

// anonymous chooses an anonymous suite if the client offers one, and notes
// whether it goes on with that.
func anonymous(s *session, nc net.Conn) error {
	hello, err := readRecord(nc)
	if err != nil {
		return err
	}
	suite := anonymousSuite(hello)
	if suite == 0 {
		s.say("the client offers no anonymous key exchange")
		nc.Write([]byte{0x15, 3, 3, 0, 2, 2, 40}) // handshake_failure
		return errInstead
	}
	flight, err := anonymousFlight(suite)
	if err != nil {
		return err
	}
	if _, err := nc.Write(flight); err != nil {
		return err
	}
	answer, err := readRecord(nc)
	if err == nil && len(answer) > 5 && answer[0] == 0x16 && answer[5] == 16 { // ClientKeyExchange
		s.mu.Lock()
		s.got.believed = "it agrees on a key with a server that proves nothing"
		s.mu.Unlock()
	}
	return errInstead
}

// readRecord reads one TLS record, its head included.
func readRecord(r io.Reader) ([]byte, error) {
	b := make([]byte, 5, 1024)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	if n > 1<<14+256 {
		return nil, io.ErrUnexpectedEOF
	}
	b = append(b, make([]byte, n)...)
	_, err := io.ReadFull(r, b[5:])
	return b, err
}

// anonymousSuites have DH_anon or ECDH_anon for a key exchange (IANA's registry).
var anonymousSuites = []uint16{0xc016, 0xc017, 0xc018, 0xc019, 0x0018, 0x001b, 0x0034, 0x003a, 0x006c, 0x006d, 0x0046, 0x0089, 0x00a6, 0x00a7, 0x00bf, 0x00c5}

// anonymousSuite finds one in a record with a ClientHello; 0 if there is none.
func anonymousSuite(record []byte) uint16 {
	const session = 5 + 4 + 2 + 32 // behind the heads, the version and the random
	if len(record) <= session {
		return 0
	}
	at := session + 1 + int(record[session])
	if len(record) < at+2 {
		return 0
	}
	list := record[at+2:]
	list = list[:min(len(list), int(binary.BigEndian.Uint16(record[at:])))]
	for ; len(list) >= 2; list = list[2:] {
		if id := binary.BigEndian.Uint16(list); slices.Contains(anonymousSuites, id) {
			return id
		}
	}
	return 0
}

// anonymousFlight is ServerHello, ServerKeyExchange and ServerHelloDone.
func anonymousFlight(suite uint16) ([]byte, error) {
	random := make([]byte, 32)
	rand.Read(random)
	hello := slices.Concat([]byte{3, 3}, random, []byte{0, byte(suite >> 8), byte(suite), 0})
	var params []byte
	if suite >= 0xc000 {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		public := key.PublicKey().Bytes()
		params = append([]byte{3, 0, 23, byte(len(public))}, public...) // named curve secp256r1
	} else {
		params = dhParams()
	}
	return slices.Concat(handshakeRecord(2, hello), handshakeRecord(12, params), handshakeRecord(14, nil)), nil
}

// dhParams are p, g and a public value in the group of 2048 bits of RFC 3526,
// section 3.
func dhParams() []byte {
	p, _ := new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF", 16)
	x, _ := rand.Int(rand.Reader, p)
	var out []byte
	for _, n := range []*big.Int{p, big.NewInt(2), new(big.Int).Exp(big.NewInt(2), x, p)} {
		out = binary.BigEndian.AppendUint16(out, uint16(len(n.Bytes())))
		out = append(out, n.Bytes()...)
	}
	return out
}

// handshakeRecord is a handshake message in a record of its own.
func handshakeRecord(kind byte, body []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x16, 3, 3}, uint16(4+len(body)))
	return append(append(b, kind, 0, byte(len(body)>>8), byte(len(body))), body...)
}
