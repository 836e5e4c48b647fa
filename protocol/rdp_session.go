package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"example.org/starttls"
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

// gccBlock is a block of user data in a conference (MS-RDPBCGR, section 2.2.1.3.1).
func gccBlock(kind uint16, data []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, kind)
	return append(binary.LittleEndian.AppendUint16(b, uint16(4+len(data))), data...)
}

// gccFind finds a block of user data behind key, which says whose it is; nil if
// it is not there in whole.
func gccFind(b []byte, key string, kind uint16) []byte {
	_, b, _ = bytes.Cut(b, []byte(key))
	if len(b) > 2 { // a length of one byte or two
		b = b[1+b[0]>>7:]
	}
	for len(b) >= 4 {
		n := int(binary.LittleEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return nil
		}
		if binary.LittleEndian.Uint16(b) == kind {
			return b[4:n]
		}
		b = b[n:]
	}
	return nil
}

// Who speaks in a conference, and the blocks that tell of virtual channels.
const (
	gccClient        = "Duca"
	gccServer        = "McDn"
	gccClientNetwork = 0xc003
	gccServerNetwork = 0x0c03
)

// mcsConnect is MCS's connect initial with the conference create request that
// RDP wants in it: core, security and network data (MS-RDPBCGR, section 2.2.1.3),
// the latter with virtual channels of the names given, at most seven bytes each.
func mcsConnect(channels ...string) []byte {
	core := slices.Concat([]byte{4, 0, 8, 0, 0, 4, 0, 3, 1, 0xca, 3, 0xaa, 9, 4, 0, 0, 0x28, 10, 0, 0}, make([]byte, 32), // version 5, 1024 by 768
		[]byte{4, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0}, make([]byte, 64), // keyboard
		[]byte{1, 0xca, 1, 0, 0, 0, 0, 0, 24, 0, 7, 0, 1, 0}, make([]byte, 64), // colours, serial number, product
		[]byte{0, 0, 1, 0, 0, 0}) // TLS was chosen
	network := binary.LittleEndian.AppendUint32(nil, uint32(len(channels)))
	for _, c := range channels {
		network = append(network, make([]byte, 12)...) // name and options
		copy(network[len(network)-12:], c)
	}
	data := slices.Concat(gccBlock(0xc001, core), gccBlock(0xc002, make([]byte, 8)), gccBlock(gccClientNetwork, network))
	length := func(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)|0x8000) } // of PER
	gcc := slices.Concat([]byte("\x00\x08\x00\x10\x00\x01\xc0\x00"+gccClient), length(len(data)), data)
	conference := slices.Concat([]byte{0, 5, 0, 0x14, 0x7c, 0, 1}, length(len(gcc)), gcc)
	one := ber(0x04, []byte{1})
	return tpkt("\x02\xf0\x80", ber2(0x65, one, one, ber(0x01, []byte{0xff}), mcsDomain(), mcsDomain(), mcsDomain(), ber(0x04, conference)))
}

// mcsReject answers a connect initial with rt-user-rejected, and, as if it were
// not, with as many virtual channels as were asked for.
func mcsReject(tpdu []byte) []byte {
	count := 0
	if b := gccFind(tpdu, gccClient, gccClientNetwork); len(b) >= 4 {
		count = (len(b) - 4) / 12
	}
	network := binary.LittleEndian.AppendUint16([]byte{0xeb, 3}, uint16(count)) // behind the channel 1003
	network = gccBlock(gccServerNetwork, append(network, make([]byte, 2*count)...))
	conference := slices.Concat([]byte("\x00\x05\x00\x14\x7c\x00\x01\x2a\x14\x76\x0a\x01\x01\x00\x01\xc0\x00"+gccServer), []byte{byte(len(network))}, network)
	return tpkt("\x02\xf0\x80", ber2(0x66, ber(0x0a, []byte{14}), ber(0x02, []byte{0}), mcsDomain(), ber(0x04, conference)))
}

// Injection asks for a number of virtual channels, which the answer repeats. A
// server that chose CredSSP answers neither command.
func (rdp) Injection(_, marker string) starttls.Injection {
	few := 1 + int(markerNumber(marker)%15) // 31 at most
	connect := func(count int) []byte {
		var channels []string
		for i := range count {
			channels = append(channels, fmt.Sprintf("%.5s%02d", marker, i))
		}
		return mcsConnect(channels...)
	}
	return starttls.Injection{
		Probe:   connect(few),
		Control: connect(few + 15),
		Classify: func(said []byte) (r starttls.Reply) {
			if b := gccFind(said, gccServer, gccServerNetwork); len(b) >= 4 {
				count := int(binary.LittleEndian.Uint16(b[2:]))
				r.Probe, r.Control = count == few, count == few+15
			}
			return r
		},
	}
}
