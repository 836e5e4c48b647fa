package protocol

import (
	"strings"

	"example.org/starttls"
)

// Serve speaks a minimal SMTP or LMTP session: it takes any sign-in and any
// message, and keeps neither. In clear it takes a sign-in only where h offers
// one; another is told to sink all the same.
func (p smtp) Serve(w *starttls.Wire, h starttls.Hello, sink starttls.Sink) error {
	s := smtpSession{smtp: p, w: w, sink: sink, caps: capsInside(h.Caps, "STARTTLS"), signIn: w.TLS() || len(h.Auth) > 0}
	if s.signIn {
		mechanisms := h.Auth
		if mechanisms == nil {
			mechanisms = []string{"PLAIN", "LOGIN"}
		}
		s.caps = append(s.caps, "AUTH "+strings.Join(mechanisms, " "))
	}
	for {
		line, err := w.ReadLine()
		if err != nil {
			return err
		}
		if name, arg := verb(line); name == "QUIT" {
			return w.WriteLine("221 2.0.0 Bye")
		} else if err := s.command(name, arg); err != nil {
			return err
		}
	}
}

type smtpSession struct {
	smtp
	w          *starttls.Wire
	sink       starttls.Sink
	caps       []string
	signIn     bool
	mail       bool
	recipients int
}

func (s *smtpSession) command(name, arg string) error {
	switch name {
	case s.hello(), "HELO":
		s.mail, s.recipients = false, 0
		return s.sendCapabilities(s.w, s.caps)
	case "AUTH":
		return s.auth(arg)
	case "MAIL":
		s.mail, s.recipients = true, 0
		s.sink.Tell(starttls.Leak{What: "metadata", Said: []byte(arg)})
		return s.w.WriteLine("250 2.1.0 OK")
	case "RCPT":
		if !s.mail {
			return s.w.WriteLine("503 5.5.1 Send MAIL first")
		}
		s.recipients++
		return s.w.WriteLine("250 2.1.5 OK")
	case "DATA":
		return s.data()
	case "RSET", "NOOP":
		return s.w.WriteLine("250 2.0.0 OK")
	case "STARTTLS":
		return s.w.WriteLine("503 5.5.1 TLS is not to be had now")
	}
	if err := s.w.WriteLine("500 5.5.2 Command not recognised"); err != nil {
		return err
	}
	return s.w.Refused()
}

func (s *smtpSession) auth(arg string) error {
	mechanism, initial, _ := strings.Cut(arg, " ")
	mechanism = strings.ToUpper(mechanism)
	challenge := func(c string) error { return s.w.WriteLine("334 " + c) }
	leak := starttls.Leak{What: "sign-in", Mechanism: mechanism}
	var err error
	switch mechanism {
	case "PLAIN":
		if initial == "" {
			if err := challenge(""); err != nil {
				return err
			}
			if initial, err = s.w.ReadLine(); err != nil {
				return err
			}
		}
		var ok bool
		if leak.User, leak.Secret, ok = plainSecret(initial); !ok {
			return s.w.WriteLine("501 5.5.2 Not a PLAIN message")
		}
	case "LOGIN":
		if leak.User, leak.Secret, err = loginDialogue(s.w, initial, challenge); err != nil {
			return err
		}
	default:
		return s.w.WriteLine("504 5.5.4 Unknown mechanism")
	}
	s.sink.Tell(leak)
	if !s.signIn {
		return s.w.WriteLine("538 5.7.11 Encryption required for requested authentication mechanism")
	}
	return s.w.WriteLine("235 2.7.0 Signed in")
}

// data takes a message; LMTP answers for each recipient (RFC 2033, section 4.2).
func (s *smtpSession) data() error {
	if s.recipients == 0 {
		return s.w.WriteLine("503 5.5.1 Send RCPT first")
	}
	if err := s.w.WriteLine("354 End with a dot on a line of its own"); err != nil {
		return err
	}
	var message []byte
	for {
		line, err := s.w.ReadLine()
		if err != nil {
			return err
		}
		if line == "." {
			break
		}
		message = append(message, strings.TrimPrefix(line, ".")+"\r\n"...)
	}
	s.sink.Tell(starttls.Leak{What: "content", Said: message})
	answers := 1
	if s.lmtp {
		answers = s.recipients
	}
	s.mail, s.recipients = false, 0
	return s.w.WriteLine(strings.TrimSuffix(strings.Repeat("250 2.0.0 Taken\r\n", answers), "\r\n"))
}
