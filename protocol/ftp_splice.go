package protocol

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"example.org/starttls"
)

// Kinds of exchanges.
const (
	ftpOther = iota
	ftpFeat
	ftpPasv
	ftpEpsv
)

type ftpSplice struct {
	lineSession
	s        *starttls.Splice
	private  bool // PROT P is in force
	buffered bool // PBSZ was said
}

// Splice answers what is about TLS itself (PBSZ, PROT, AUTH, CCC), and leads
// passive data connections over the gateway, with TLS on the client's side. In
// TLS no data goes unprotected; active data connections, for which the backend
// would have to connect to the client, are refused.
func (p ftp) Splice(s *starttls.Splice) (toBackend, toClient starttls.Filter, err error) {
	f := &ftpSplice{s: s}
	f.noop, f.command, f.reply = "NOOP", f.asks, f.answers
	toBackend, toClient = f.filters()
	return toBackend, toClient, nil
}

func (f *ftpSplice) asks(line string) (exchange, string) {
	tls := f.s.Client.TLS()
	name, arg := verb(line)
	switch name {
	case "AUTH":
		return refuse("503 TLS is not to be had now"), ""
	case "PBSZ", "PROT", "CCC":
		if !tls {
			return refuse("503 There is no TLS here"), ""
		}
		return refuse(f.protection(name, arg)), ""
	case "USER":
		if f.s.HideAuth && !strings.EqualFold(arg, "anonymous") && !strings.EqualFold(arg, "ftp") {
			return refuse("530 Sign-in is for TLS: AUTH TLS first"), ""
		}
	case "REIN": // what was agreed on is gone with the user (RFC 4217, section 11)
		f.private, f.buffered = false, false
	case "FEAT":
		return exchange{kind: ftpFeat}, line
	case "PORT", "EPRT":
		return refuse("502 Only passive mode is possible here"), ""
	case "PASV", "EPSV":
		if tls && !f.private {
			return refuse("522 Say PROT P first: no data goes unprotected"), ""
		}
		if name == "EPSV" && strings.EqualFold(arg, "ALL") {
			return exchange{}, line
		}
		return exchange{kind: map[string]int{"PASV": ftpPasv, "EPSV": ftpEpsv}[name]}, line
	case "RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD":
		if tls && !f.private {
			return refuse("521 Say PROT P first: no data goes unprotected"), ""
		}
	}
	return exchange{}, line
}

// protection answers what is about TLS (RFC 2228, section 3; RFC 4217, section 9).
func (f *ftpSplice) protection(name, arg string) string {
	switch {
	case name == "CCC":
		return "534 The control connection stays protected"
	case name == "PBSZ":
		f.buffered = true
		return "200 PBSZ=0"
	case !f.buffered:
		return "503 PBSZ comes first"
	case strings.EqualFold(arg, "P"):
		f.private = true
		return "200 Data is protected"
	case strings.EqualFold(arg, "C"):
		return "534 Only PROT P is allowed"
	case strings.EqualFold(arg, "S"), strings.EqualFold(arg, "E"):
		return "536 Only PROT P is allowed"
	}
	return "504 No such protection"
}

func (f *ftpSplice) answers(x *exchange, line []byte) ([]byte, bool, error) {
	code, last := codeEnd(line)
	if x.lines == 1 {
		x.code = code
	}
	if last = last && code == x.code; x.kind == ftpFeat {
		return f.features(x, line, last), last, nil
	}
	if !last {
		return line, false, nil
	}
	if code/100 == 1 { // the data connection's own reply is still to come
		x.lines = 0
		return line, false, nil
	}
	switch {
	case x.kind == ftpPasv && code == 227:
		return f.passive(line, parsePasv(string(line)))
	case x.kind == ftpEpsv && code == 229:
		return f.extended(line)
	}
	return line, true, nil
}

// features lists what the gateway knows about TLS in the place of the backend.
func (f *ftpSplice) features(x *exchange, line []byte, last bool) []byte {
	if x.lines == 1 || x.code != 211 {
		return line
	}
	if last {
		if !f.s.Client.TLS() {
			return line
		}
		return append([]byte(" AUTH TLS\r\n PBSZ\r\n PROT\r\n"), line...)
	}
	switch name, _ := verb(strings.TrimSpace(string(line))); name {
	case "AUTH", "PBSZ", "PROT", "CCC":
		return nil
	}
	return line
}

// parsePasv reads the address of a reply to PASV (RFC 959, section 4.1.2).
func parsePasv(line string) string {
	digits := strings.FieldsFunc(line[4:], func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) < 6 {
		return ""
	}
	var b [6]byte
	for i := range b {
		n, err := strconv.ParseUint(digits[len(digits)-6+i], 10, 8)
		if err != nil {
			return ""
		}
		b[i] = byte(n)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), uint16(b[4])<<8|uint16(b[5])).String()
}

// passive leads a data connection over the gateway. What the backend says of its
// own address behind a NAT is not believed: its port alone counts.
func (f *ftpSplice) passive(line []byte, backend string) ([]byte, bool, error) {
	_, port, err := net.SplitHostPort(backend)
	if err != nil {
		return nil, false, errUnexpected("an address in the reply to PASV", line)
	}
	at, err := f.open(port)
	if err != nil {
		return nil, false, err
	}
	ip := at.IP.To4()
	if ip == nil { // the client is on IPv6, where PASV has no words
		return []byte("425 Use EPSV\r\n"), true, nil
	}
	return fmt.Appendf(nil, "227 Entering Passive Mode (%d,%d,%d,%d,%d,%d).\r\n", ip[0], ip[1], ip[2], ip[3], at.Port>>8, at.Port&0xff), true, nil
}

// extended does the same for EPSV (RFC 2428, section 3), which tells a port only.
func (f *ftpSplice) extended(line []byte) ([]byte, bool, error) {
	_, rest, ok := strings.Cut(string(line), "(")
	rest, _, ok2 := strings.Cut(rest, ")")
	var parts []string
	if ok && ok2 && len(rest) > 4 {
		parts = strings.Split(rest, rest[:1])
	}
	if len(parts) != 5 {
		return nil, false, errUnexpected("a port in the reply to EPSV", line)
	}
	at, err := f.open(parts[3])
	if err != nil {
		return nil, false, err
	}
	return fmt.Appendf(nil, "229 Entering Extended Passive Mode (|||%d|)\r\n", at.Port), true, nil
}

func (f *ftpSplice) open(port string) (*net.TCPAddr, error) {
	host, _, err := net.SplitHostPort(f.s.Backend.RemoteAddr().String())
	if err != nil {
		return nil, err
	}
	return f.s.Data(net.JoinHostPort(host, port), f.private)
}

// Unavailable is 421, which may come at any time (RFC 959, section 5.4).
func (ftp) Unavailable() []byte { return []byte("421 The service is not available now\r\n") }
