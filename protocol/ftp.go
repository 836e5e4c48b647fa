package protocol

import (
	"slices"
	"strings"

	"example.org/starttls"
)

// FTP is RFC 4217: AUTH TLS on the control connection, then PBSZ 0 and PROT P,
// so that no data connection is in clear. AUTH TLS listed inside TLS is no
// fault: FEAT lists what the server knows, and RFC 4217 does not forbid it.
var FTP = register(ftp{})

type ftp struct{}

func (ftp) Info() starttls.Info {
	return starttls.Info{
		Name: "ftp", Port: 21, ImplicitTLS: 990, ALPN: []string{"ftp"},
		Title: "FTP, file transfer", Reference: "RFC 4217", ServerFirst: true, Data: true, HidesAuth: true, Greeting: "220 ready\r\n",
	}
}

func (p ftp) Client(w *starttls.Wire, ask starttls.Ask) (starttls.Hello, error) {
	var h starttls.Hello
	r, err := readCodeReply(w, "a greeting")
	if err == nil && r.code == 120 { // "ready in nnn minutes"; then comes 220 (RFC 959, section 5.4)
		r, err = readCodeReply(w, "a greeting")
	}
	h.Greeting = r.raw
	if err != nil {
		return h, err
	}
	if r.code != 220 && r.code != 230 {
		return h, r.refused()
	}
	h.Software = r.lines[0]
	if ask == starttls.NoAsk {
		return h, nil
	}
	if r.code == 230 {
		return h, starttls.ErrAlreadyAuthenticated
	}
	known, err := p.features(w, &h)
	if err != nil {
		return h, err
	}
	// A server need not have FEAT (RFC 2389, section 3.2), and some keep it for
	// who has signed in: only asking tells. Asking is safe, for nothing but TLS
	// follows a consent and nothing at all a refusal.
	if known && !h.Offered && ask == starttls.IfOffered {
		return h, starttls.ErrNotOffered
	}
	if err := w.Ask([]byte("AUTH TLS\r\n")); err != nil {
		return h, err
	}
	if r, err = readCodeReply(w, "a reply to AUTH TLS"); err != nil {
		return h, err
	}
	if r.code != 234 {
		return h, r.refused()
	}
	h.Offered = h.Offered || !known // what FEAT should have listed and did not stays so
	return h, nil
}

// features sends FEAT (RFC 2389) and reads the answer into h; known is false
// where the server has no FEAT.
func (ftp) features(w *starttls.Wire, h *starttls.Hello) (known bool, err error) {
	var r codeReply
	if err := r.ask(w, "FEAT"); err != nil {
		return false, err
	}
	if r.code != 211 {
		if r.code == 421 {
			return false, r.refused()
		}
		return false, nil
	}
	for _, l := range r.lines[1:max(1, len(r.lines)-1)] {
		l = strings.TrimSpace(l)
		h.Caps = append(h.Caps, l)
		if name, arg := verb(l); name == "AUTH" {
			kinds := strings.FieldsFunc(strings.ToUpper(arg), func(c rune) bool { return c == ' ' || c == ';' || c == ',' })
			h.Offered = h.Offered || slices.Contains(kinds, "TLS") || slices.Contains(kinds, "TLS-C")
		}
	}
	return true, nil
}

// Settle asks for protection of the data connections (RFC 4217, section 9).
func (ftp) Settle(w *starttls.Wire) error {
	for _, command := range []string{"PBSZ 0", "PROT P"} {
		var r codeReply
		if err := r.ask(w, command); err != nil {
			return err
		}
		if r.code != 200 {
			return r.refused()
		}
	}
	return nil
}

func (p ftp) Probe(w *starttls.Wire) (starttls.Hello, error) {
	var h starttls.Hello
	_, err := p.features(w, &h)
	return h, err
}

func (p ftp) Server(w *starttls.Wire, h starttls.Hello, offer starttls.Offer) (out starttls.Outcome, err error) {
	keep := keepVerbs("FEAT", "SYST", "NOOP", "HELP", "QUIT")
	w.Redact(func(msg []byte) []byte {
		if strings.EqualFold(strings.TrimRight(string(msg), "\r\n"), "AUTH TLS") {
			return msg
		}
		return keep(msg)
	})
	greeting := h.Greeting
	if greeting == nil {
		greeting = []byte("220 " + or(h.Software, w.ServerName()) + " ready\r\n")
	}
	if _, err := w.Write(greeting); err != nil || offer.Mode == starttls.NoOffer {
		return out, err
	}
	out.TLS, err = serveLines(w, offer, p.isSession, func(name, arg, line string) (bool, error) {
		return p.clear(w, h, offer, name, arg, line)
	})
	return out, err
}

func (ftp) isSession(name string) bool {
	switch name {
	case "USER", "PASS", "ACCT", "REIN", "HOST", "CLNT", "SITE", "STAT", "TYPE", "MODE", "STRU", "OPTS", "ALLO", "REST", "ABOR",
		"PASV", "PORT", "EPSV", "EPRT", "RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD", "MLST", "SIZE", "MDTM",
		"CWD", "CDUP", "PWD", "MKD", "RMD", "DELE", "RNFR", "RNTO", "XPWD", "XCWD", "XCUP", "XMKD", "XRMD":
		return true
	}
	return false
}

// clear answers one command before TLS. It reports whether TLS is next. The name
// from before RFC 4217, AUTH SSL, which curl says first, is known where TLS is
// optional: there, and to a guard, a refusal would not keep anybody from it.
func (p ftp) clear(w *starttls.Wire, h starttls.Hello, offer starttls.Offer, name, arg, line string) (bool, error) {
	switch kind := strings.ToUpper(arg); {
	case name == "FEAT":
		return false, p.sendFeatures(w, capsBefore(ftpFeatures(h.Caps), offer, "AUTH TLS"))
	case name == "AUTH" && offer.Mode == starttls.Hide:
		return refuseLine(w, "502 Command not implemented")
	case name == "AUTH" && arg == "":
		return refuseLine(w, "501 Syntax: AUTH TLS")
	case name == "AUTH" && kind != "TLS" && kind != "TLS-C" && (kind != "SSL" || offer.Mode != starttls.Optional):
		return refuseLine(w, "504 Only AUTH TLS is known")
	case name == "AUTH" && offer.Mode == starttls.Decline:
		return refuseLine(w, override(offer, "431 TLS is not available now"))
	case name == "AUTH":
		return true, w.GoAhead([]byte(override(offer, "234 Begin TLS") + "\r\n"))
	case name == "SYST":
		return false, w.WriteLine("215 UNIX Type: L8")
	case name == "NOOP":
		return false, w.WriteLine("200 OK")
	case name == "QUIT":
		w.WriteLine("221 Bye")
		return false, starttls.ErrNotUpgraded
	case isHTTP(line):
		w.WriteLine("421 This is a file server")
		return false, &starttls.ReplyError{Expected: "a command", Reply: []byte(line)}
	case name == "PBSZ" || name == "PROT":
		return refuseLine(w, "503 AUTH TLS comes first")
	case p.isSession(name):
		return refuseLine(w, "530 Say AUTH TLS first: nothing is accepted in clear")
	}
	return refuseLine(w, "500 Unknown command")
}

// ftpFeatures is what FEAT lists but for AUTH TLS.
func ftpFeatures(caps []string) []string {
	if caps == nil {
		return []string{"PBSZ", "PROT", "UTF8"}
	}
	return caps
}

func (ftp) sendFeatures(w *starttls.Wire, features []string) error {
	var b strings.Builder
	b.WriteString("211-Features:\r\n")
	for _, f := range features {
		b.WriteString(" " + f + "\r\n")
	}
	b.WriteString("211 End\r\n")
	_, err := w.Write([]byte(b.String()))
	return err
}

// Injection: FEAT is answered by 211 alone, mostly before a sign-in too, as SYST
// is not everywhere; the unknown command by 5xx.
func (ftp) Injection(_, _ string) starttls.Injection {
	return starttls.Injection{
		Probe:   []byte("FEAT\r\n"),
		Control: []byte("XPRB\r\n"),
		Classify: classifyCodes(func(code int) starttls.Reply {
			return starttls.Reply{Probe: code == 211, Control: code/100 == 5}
		}),
	}
}
