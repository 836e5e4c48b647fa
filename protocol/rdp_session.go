package protocol

import (
	"encoding/binary"
	"slices"
)

// The first messages of an RDP session, as far as a prober needs them.

// credSSPNegotiate is a TSRequest of version 2 with NTLM's NEGOTIATE (MS-CSSP,
// section 2.2.1; MS-NLMP, section 2.2.1.1).
func credSSPNegotiate() []byte {
	ntlm := append([]byte("NTLMSSP\x00\x01\x00\x00\x00\x07\x82\x08\xa2"), make([]byte, 16)...)
	ntlm = append(ntlm, "\x0a\x00\x00\x00\x00\x00\x00\x0f"...)
	tokens := ber(0x30, ber(0x30, ber(0xa0, ber(0x04, ntlm))))
	return ber(0x30, ber(0xa0, ber(0x02, []byte{2})), ber(0xa1, tokens))
}

// ber2 is ber for the application tags of MCS, which have a second byte.
func ber2(tag byte, contents ...[]byte) []byte {
	return append([]byte{0x7f, tag}, ber(0, contents...)[1:]...)
}

// mcsDomain is a set of domain parameters (T.125, section 7).
func mcsDomain() []byte {
	var b [][]byte
	for _, n := range []int{34, 2, 0, 1, 0, 1, 65535, 2} {
		b = append(b, berInt(0x02, n))
	}
	return ber(0x30, b...)
}

// mcsConnect is MCS's connect initial with the conference create request that
// RDP wants in it: core, security and network data (MS-RDPBCGR, section 2.2.1.3).
func mcsConnect() []byte {
	block := func(kind uint16, data []byte) []byte {
		b := binary.LittleEndian.AppendUint16(nil, kind)
		return append(binary.LittleEndian.AppendUint16(b, uint16(4+len(data))), data...)
	}
	core := slices.Concat([]byte{4, 0, 8, 0, 0, 4, 0, 3, 1, 0xca, 3, 0xaa, 9, 4, 0, 0, 0x28, 10, 0, 0}, make([]byte, 32), // version 5, 1024 by 768
		[]byte{4, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0}, make([]byte, 64), // keyboard
		[]byte{1, 0xca, 1, 0, 0, 0, 0, 0, 24, 0, 7, 0, 1, 0}, make([]byte, 64), // colours, serial number, product
		[]byte{0, 0, 1, 0, 0, 0}) // TLS was chosen
	data := slices.Concat(block(0xc001, core), block(0xc002, make([]byte, 8)), block(0xc003, make([]byte, 4)))
	length := func(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)|0x8000) } // of PER
	gcc := slices.Concat([]byte("\x00\x08\x00\x10\x00\x01\xc0\x00Duca"), length(len(data)), data)
	conference := slices.Concat([]byte{0, 5, 0, 0x14, 0x7c, 0, 1}, length(len(gcc)), gcc)
	one := ber(0x04, []byte{1})
	return ber2(0x65, one, one, ber(0x01, []byte{0xff}), mcsDomain(), mcsDomain(), mcsDomain(), ber(0x04, conference))
}
