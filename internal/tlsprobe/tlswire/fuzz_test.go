package tlswire

import (
	"bytes"
	"testing"
)

// What was read can be written again and is the same, or was not read.

func FuzzClientHello(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseClientHello(b)
		if err != nil {
			return
		}
		if raw, err := h.Marshal(); err != nil || !bytes.Equal(raw[4:], b) {
			t.Errorf("%x was written as %x, %v", b, raw, err)
		}
		for _, x := range h.Extensions {
			ParseServerName(x.Data)
			ParseProtocols(x.Data)
			ParseNumbers(x.Data)
		}
	})
}

func FuzzServerHello(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseServerHello(b)
		if err != nil {
			return
		}
		h.Version()
		h.KeyShare()
		if raw := h.Marshal(); !bytes.Equal(raw[4:], b) {
			t.Errorf("%x was written as %x", b, raw)
		}
	})
}

func FuzzCertificates(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if chain, err := ParseCertificates(b); err == nil {
			if raw := MarshalCertificates(chain); !bytes.Equal(raw[4:], b) {
				t.Errorf("%x was written as %x", b, raw)
			}
		}
		chain, err := ParseCertificates13(b)
		if err != nil {
			return
		}
		for _, c := range chain {
			for _, x := range c.Extensions {
				ParseStatus(x.Data)
				ParseSCTs(x.Data)
			}
		}
	})
}

func FuzzCertificateRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, version uint16, b []byte) {
		if a, err := ParseCertificateRequest(version, b); (a == nil) != (err != nil) {
			t.Errorf("%v, %v", a, err)
		}
	})
}

func FuzzEncryptedExtensions(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEncryptedExtensions(b)
		total := 2
		for _, x := range e {
			total += 4 + len(x.Data)
		}
		if err == nil && total != len(b) {
			t.Errorf("%d bytes of %d were read", total, len(b))
		}
	})
}

func FuzzTicket(f *testing.F) {
	f.Fuzz(func(t *testing.T, version uint16, b []byte) {
		ticket, err := ParseTicket(version, b)
		if err != nil || version >= TLS13 {
			return
		}
		if raw := ticket.Marshal(); !bytes.Equal(raw[4:], b) {
			t.Errorf("%x was written as %x", b, raw)
		}
	})
}

func FuzzKeyExchange(f *testing.F) {
	f.Fuzz(func(t *testing.T, version, suite uint16, b []byte) {
		k, err := ParseKeyExchange(version, SuiteByID(suite), b)
		if err != nil {
			return
		}
		if k.Bits() > 16384 || len(k.Params)+len(k.Signature) > len(b) {
			t.Errorf("%+v was read from %x", k, b)
		}
	})
}

func FuzzSSL2(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseSSL2Hello(b); err == nil {
			if raw := h.Marshal(); !bytes.Equal(raw[2:], b) {
				t.Errorf("%x was written as %x", b, raw)
			}
		}
		if h, err := ParseSSL2ServerHello(b); err == nil && len(h.Certificate)+3*len(h.Ciphers)+len(h.ConnectionID)+11 != len(b) {
			t.Errorf("%+v was read from %x", h, b)
		}
		reader(b).ReadSSL2()
	})
}

// Whatever a peer says, reading comes to an end.
func FuzzConn(f *testing.F) {
	f.Fuzz(func(t *testing.T, version uint16, b []byte) {
		c := reader(b)
		c.Version = version
		read := 0
		for {
			m, err := c.ReadMessage()
			if _, warned := err.(Alert); warned {
				continue
			}
			if err != nil {
				break
			}
			if read += len(m.Raw); read > len(b) {
				t.Fatalf("more was read than there is: %x", b)
			}
		}
	})
}
