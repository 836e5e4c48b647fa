package protocol

import (
	"strings"

	"example.org/starttls"
)

// Serve speaks a minimal session without files and without data connections:
// it has only the control connection.
func (p ftp) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	s := ftpSession{sink: sink, tls: w.TLS()}
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		name, arg := verb(line)
		switch name {
		case "QUIT":
			return w.WriteLine("221 Bye")
		case "FEAT":
			err = p.sendFeatures(w, capsInside(ftpFeatures(h.Caps), "AUTH"))
		default:
			reply, known := s.command(name, arg)
			if err = w.WriteLine(reply); err == nil && !known {
				err = w.Refused()
			}
		}
		if err != nil {
			return err
		}
	}
}

type ftpSession struct {
	sink     starttls.Sink
	tls      bool
	buffered bool // PBSZ was said
	user     string
}

// command answers one command; known is false where it is not one of ours.
func (s *ftpSession) command(name, arg string) (reply string, known bool) {
	switch name {
	case "PBSZ":
		if !s.tls {
			return "503 There is no TLS here", true
		}
		s.buffered = true
		return "200 PBSZ=0", true
	case "PROT":
		return s.protection(arg), true
	case "USER":
		s.user = arg
		s.sink.Tell(starttls.Leak{What: "metadata", User: arg})
		return "331 Password, please", true
	case "PASS":
		s.sink.Tell(starttls.Leak{What: "sign-in", Mechanism: "USER", User: s.user, Secret: []byte(arg)})
		return "230 Signed in", true
	case "PWD":
		return `257 "/"`, true
	case "CWD":
		return "250 OK", true
	case "SYST":
		return "215 UNIX Type: L8", true
	case "TYPE", "NOOP", "OPTS":
		return "200 OK", true
	case "AUTH":
		return "503 TLS is not to be had now", true
	}
	return "502 Command not implemented", false
}

// protection answers PROT: only private, and only after PBSZ (RFC 2228, section 3).
func (s *ftpSession) protection(arg string) string {
	switch {
	case !s.buffered:
		return "503 PBSZ comes first"
	case strings.EqualFold(arg, "P"):
		return "200 Data is protected"
	}
	return "534 Only PROT P is allowed"
}
