package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/pires/go-proxyproto"
)

const (
	proxyLine   = 107     // bytes of a header of version 1 at most
	proxyHeader = 4 << 10 // of version 2, as far as we go
)

var proxyV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")

// readProxy reads the header of the PROXY protocol, and not a byte beyond it,
// and gives c the addresses that it names.
func readProxy(c *conn) error {
	head := make([]byte, len(proxyV2)+4)
	if _, err := io.ReadFull(c, head); err != nil {
		return err
	}
	if bytes.HasPrefix(head, proxyV2) {
		n := int(binary.BigEndian.Uint16(head[len(proxyV2)+2:]))
		if n > proxyHeader {
			return errors.New("PROXY: the header is too long")
		}
		rest := make([]byte, n)
		if _, err := io.ReadFull(c, rest); err != nil {
			return err
		}
		head = append(head, rest...)
	} else {
		for b := make([]byte, 1); head[len(head)-1] != '\n'; head = append(head, b[0]) {
			if len(head) >= proxyLine {
				return errors.New("PROXY: no header where one is due")
			}
			if _, err := io.ReadFull(c, b); err != nil {
				return err
			}
		}
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return err
	}
	if h.Command.IsProxy() && h.SourceAddr != nil {
		c.client, c.local = h.SourceAddr, h.DestinationAddr
	}
	return nil
}

// Of version 2: the TLV that tells of TLS, and its flags.
const (
	proxySSL       = 0x01 // the client has TLS
	proxyCertConn  = 0x02 // and a certificate, on this connection
	proxyUnchecked = 1    // in "verify": not verified
)

// writeProxy tells a backend of the client; nil is the gateway itself.
func writeProxy(w io.Writer, version byte, client, local net.Addr, state *tls.ConnectionState) error {
	h := proxyproto.HeaderProxyFromAddrs(version, client, local)
	if version == 2 && state != nil {
		if err := h.SetTLVs(proxyTLVs(state)); err != nil {
			return err
		}
	}
	_, err := h.WriteTo(w)
	return err
}

func proxyTLVs(s *tls.ConnectionState) []proxyproto.TLV {
	var out []proxyproto.TLV
	if s.ServerName != "" {
		out = append(out, proxyproto.TLV{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte(s.ServerName)})
	}
	if s.NegotiatedProtocol != "" {
		out = append(out, proxyproto.TLV{Type: proxyproto.PP2_TYPE_ALPN, Value: []byte(s.NegotiatedProtocol)})
	}
	flags, verify := byte(proxySSL), uint32(proxyUnchecked)
	if len(s.VerifiedChains) > 0 {
		flags, verify = proxySSL|proxyCertConn, 0
	}
	value := binary.BigEndian.AppendUint32([]byte{flags}, verify)
	sub := func(kind proxyproto.PP2Type, text string) {
		value = append(binary.BigEndian.AppendUint16(append(value, byte(kind)), uint16(len(text))), text...)
	}
	sub(proxyproto.PP2_SUBTYPE_SSL_VERSION, tls.VersionName(s.Version))
	sub(proxyproto.PP2_SUBTYPE_SSL_CIPHER, tls.CipherSuiteName(s.CipherSuite))
	if len(s.VerifiedChains) > 0 {
		sub(proxyproto.PP2_SUBTYPE_SSL_CN, s.PeerCertificates[0].Subject.CommonName)
	}
	return append(out, proxyproto.TLV{Type: proxyproto.PP2_TYPE_SSL, Value: value})
}
