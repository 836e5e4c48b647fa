package tlswire

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash"
)

// Protection seals records in one direction, or opens them. It counts them, so
// one value is for one direction alone.
type Protection interface {
	Seal(Record) Record
	Open(Record) (Record, error)
}

// ErrOpen is a record that can not be opened with the keys there are.
var ErrOpen = errors.New("record can not be opened")

// additional is what is authenticated besides a record's text up to TLS 1.2
// (RFC 5246, section 6.2.3.3).
func additional(seq uint64, r Record, length int) []byte {
	b := binary.BigEndian.AppendUint64(nil, seq)
	b = append(b, byte(r.Type))
	b = binary.BigEndian.AppendUint16(b, r.Version)
	return binary.BigEndian.AppendUint16(b, uint16(length))
}

// gcm is AES-GCM in TLS 1.2 (RFC 5288): eight bytes of the nonce are sent.
type gcm struct {
	aead cipher.AEAD
	salt []byte
	seq  uint64
}

const gcmExplicit = 8

func (p *gcm) Seal(r Record) Record {
	explicit := binary.BigEndian.AppendUint64(nil, p.seq)
	nonce := append(bytes.Clone(p.salt), explicit...)
	r.Body = p.aead.Seal(explicit, nonce, r.Body, additional(p.seq, r, len(r.Body)))
	p.seq++
	return r
}

func (p *gcm) Open(r Record) (Record, error) {
	n := len(r.Body) - gcmExplicit - p.aead.Overhead()
	if n < 0 {
		return r, ErrOpen
	}
	nonce := append(bytes.Clone(p.salt), r.Body[:gcmExplicit]...)
	plain, err := p.aead.Open(nil, nonce, r.Body[gcmExplicit:], additional(p.seq, r, n))
	if err != nil {
		return r, ErrOpen
	}
	p.seq++
	r.Body = plain
	return r, nil
}

// cbc is a MAC and a block cipher behind it (RFC 5246, section 6.2.3.2). It
// hides no timing: what it opens are the answers to a probe.
type cbc struct {
	block cipher.Block
	mac   hash.Hash
	iv    []byte // TLS 1.0: the last block of the record before; nil: each record has its own
	seq   uint64
}

func (p *cbc) tag(r Record) []byte {
	p.mac.Reset()
	p.mac.Write(additional(p.seq, r, len(r.Body)))
	p.mac.Write(r.Body)
	p.seq++
	return p.mac.Sum(nil)
}

func (p *cbc) Seal(r Record) Record {
	text := append(bytes.Clone(r.Body), p.tag(r)...)
	size := p.block.BlockSize()
	pad := size - len(text)%size
	text = append(text, bytes.Repeat([]byte{byte(pad - 1)}, pad)...)
	iv, sent := p.iv, []byte(nil)
	if iv == nil {
		iv = make([]byte, size)
		rand.Read(iv)
		sent = iv
	}
	cipher.NewCBCEncrypter(p.block, iv).CryptBlocks(text, text)
	if p.iv != nil {
		p.iv = text[len(text)-size:]
	}
	r.Body = append(bytes.Clone(sent), text...)
	return r
}

func (p *cbc) Open(r Record) (Record, error) {
	size, text, iv := p.block.BlockSize(), r.Body, p.iv
	if iv == nil && len(text) >= size {
		iv, text = text[:size], text[size:]
	}
	if len(text) == 0 || len(text)%size != 0 || iv == nil {
		return r, ErrOpen
	}
	if p.iv != nil {
		p.iv = bytes.Clone(text[len(text)-size:])
	}
	plain := make([]byte, len(text))
	cipher.NewCBCDecrypter(p.block, iv).CryptBlocks(plain, text)
	n := len(plain) - 1 - int(plain[len(plain)-1]) - p.mac.Size()
	if n < 0 {
		return r, ErrOpen
	}
	r.Body = plain[:n]
	if !hmac.Equal(p.tag(r), plain[n:n+p.mac.Size()]) {
		return r, ErrOpen
	}
	return r, nil
}

// aead13 is the protection of TLS 1.3 (RFC 8446, section 5.2).
type aead13 struct {
	aead cipher.AEAD
	iv   []byte
	seq  uint64
}

func (p *aead13) nonce() []byte {
	n := bytes.Clone(p.iv)
	for i := range 8 {
		n[len(n)-1-i] ^= byte(p.seq >> (8 * i))
	}
	p.seq++
	return n
}

// header is the outer header, which is authenticated.
func (p *aead13) header(length int) (Record, []byte) {
	r := Record{Type: ApplicationData, Version: TLS12, Body: make([]byte, length)}
	return r, r.Append(nil)[:recordHeader]
}

func (p *aead13) Seal(r Record) Record {
	if r.Type == ChangeCipherSpecRecord {
		return r
	}
	inner := append(bytes.Clone(r.Body), byte(r.Type))
	out, header := p.header(len(inner) + p.aead.Overhead())
	out.Body = p.aead.Seal(nil, p.nonce(), inner, header)
	return out
}

func (p *aead13) Open(r Record) (Record, error) {
	if r.Type != ApplicationData { // a ChangeCipherSpec for show, or an alert of one who has no keys
		return r, nil
	}
	_, header := p.header(len(r.Body))
	inner, err := p.aead.Open(nil, p.nonce(), r.Body, header)
	if err != nil {
		return r, ErrOpen
	}
	inner = bytes.TrimRight(inner, "\x00")
	if len(inner) == 0 {
		return r, ErrOpen
	}
	last := len(inner) - 1
	return Record{RecordType(inner[last]), r.Version, inner[:last]}, nil
}
