package protocol

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"example.org/starttls"
)

// Moves are IMAP's: sessions that begin signed in, referrals (RFC 2221, RFC
// 2193), data that nobody asked for, and answers to commands whose tags can be
// told beforehand.
func (p imap) Moves(trap string) []starttls.Move {
	url := "imap://user;AUTH=*@" + trap + "/"
	refer := func(id string, names ...string) starttls.Move {
		return hides(starttls.Move{ID: id, Reply: p.tagged("NO [REFERRAL "+url+"] elsewhere", names...)})
	}
	const data = "* LIST () \"/\" " + canary + "\r\n* LSUB () \"/\" " + canary + "\r\n* 54321 EXISTS\r\n* 54321 RECENT\r\n* 1 EXPUNGE\r\n* FLAGS (" + canary + ")\r\n" +
		"* STATUS INBOX (MESSAGES 54321)\r\n* SEARCH 1 2 3\r\n* CAPABILITY IMAP4rev1 STARTTLS AUTH=" + canary + "\r\n* OK [ALERT] " + canary + "\r\n"
	return []starttls.Move{
		greets("preauth", "* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
		hides(greets("preauth-hidden", "* PREAUTH [CAPABILITY IMAP4rev1] ready\r\n")),
		greets("preauth-bare", "* PREAUTH ready\r\n"),
		greets("redirect", "* OK [REFERRAL "+url+"] ready\r\n"),
		hides(greets("redirect-bye", "* BYE [REFERRAL "+url+"] elsewhere\r\n")),
		refer("redirect-login", "LOGIN", "AUTHENTICATE"),
		refer("redirect-mailbox", "SELECT", "EXAMINE", "STATUS"),
		tells(greets("inject-pre", "* OK ready\r\n"+data)),
		{ID: "inject-pre-starttls", GoAhead: func(_, msg []byte) []byte { return append([]byte(data), msg...) }, Tells: []string{canary}},
		tells(greets("inject-codes", "* OK [ALERT] "+canary+"\r\n* OK [BADCHARSET ("+canary+")] x\r\n* OK [PARSE] "+canary+"\r\n* OK ready\r\n")),
		{ID: "inject-resp", Withhold: true, GoAhead: func(heard, msg []byte) []byte {
			tag, _, _ := imapCommand(lastLine(heard))
			next := nextTag(tag)
			return fmt.Appendf(bytes.Clone(msg), "* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN\r\n%s OK done\r\n%s OK done\r\n", next, nextTag(next))
		}},
		{ID: "early-ok", Hello: starttls.Hello{Greeting: []byte("* OK ready\r\n")}, GoAhead: say(""), Reply: func(tls bool, heard, said []byte) []byte {
			tag, name, _ := imapCommand(lastLine(heard))
			if tls || name != "CAPABILITY" {
				return said
			}
			return fmt.Appendf(bytes.Clone(said), "%s OK begin TLS\r\n", nextTag(tag))
		}},
		hides(starttls.Move{ID: "caps-refused", Hello: starttls.Hello{Greeting: []byte("* OK ready\r\n")}, Reply: p.tagged("BAD unknown command", "CAPABILITY")}),
		hides(starttls.Move{ID: "caps-old", Hello: starttls.Hello{Caps: []string{"IMAP4", "IMAP2"}}}),
		hides(starttls.Move{ID: "caps-no-login", Hello: starttls.Hello{Caps: []string{"IMAP4rev1", "LOGINDISABLED"}}}),
	}
}

// tagged is a Reply that has another answer, in clear, to these commands.
func (imap) tagged(reply string, names ...string) func(bool, []byte, []byte) []byte {
	return func(tls bool, heard, said []byte) []byte {
		tag, name, _ := imapCommand(lastLine(heard))
		for _, n := range names {
			if !tls && name == n {
				return []byte(tag + " " + reply + "\r\n")
			}
		}
		return said
	}
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimRight(string(b), "\r\n"), "\n")
	return strings.TrimRight(lines[len(lines)-1], "\r")
}

// nextTag guesses the tag that comes after tag: most clients count.
func nextTag(tag string) string {
	head := strings.TrimRight(tag, "0123456789")
	n, err := strconv.Atoi(tag[len(head):])
	if err != nil {
		return tag
	}
	return fmt.Sprintf("%s%0*d", head, len(tag)-len(head), n+1)
}
