package lab

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
	"example.org/starttls/protocol"
)

// What a client says where TLS was refused, or can not be asked for, is scored
// from its first command on: names are names, whether or not a secret follows.
func TestScoreOfGoingOn(t *testing.T) {
	for _, x := range []struct {
		p     starttls.Protocol
		id    string
		lines string
		want  Score
	}{
		{protocol.IMAP, "preauth", "a SELECT INBOX,b LOGOUT", Metadata},
		{protocol.IMAP, "preauth", "a LIST \"\" *", Metadata},
		{protocol.IMAP, "preauth", "a APPEND INBOX {1+},x", Secrets},
		{protocol.IMAP, "preauth", "a CAPABILITY,b LOGOUT", Closed},
		{protocol.IMAP, "strip-caps-refuse", "a STARTTLS,b LOGOUT", Closed},
		{protocol.POP3, "strip-caps-refuse", "USER u,QUIT", Metadata},
		{protocol.POP3, "strip-caps-refuse", "APOP u 0123456789abcdef", Secrets},
		{protocol.FTP, "strip-caps-refuse", "AUTH TLS,USER u", Metadata},
		{protocol.NNTP, "strip-caps-refuse", "AUTHINFO USER u", Metadata},
		{protocol.NNTP, "strip-caps-refuse", "GROUP a.b", Metadata},
		{protocol.NNTP, "strip-caps-refuse", "POST", Metadata},
		{protocol.NUT, "strip-caps-refuse", "USERNAME u", Metadata},
		{protocol.Citadel, "strip-caps-refuse", "USER u", Metadata},
	} {
		t.Run(x.p.Info().Name+" "+x.lines, func(t *testing.T) {
			t.Parallel()
			rep, err := Run(t.Context(), Options{Protocols: []starttls.Protocol{x.p}, Cases: []string{x.id}}, func(_ context.Context, c Call) Ended { return says(c, x.lines) })
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rep.Results {
				if r.Case == x.id && r.Score != x.want {
					t.Errorf("%s: scored %s, not %s: %s", r.Case, r.Score, x.want, r.Detail)
				}
			}
		})
	}
}

// says says lines, each after an answer to the one before, and leaves.
func says(c Call, lines string) Ended {
	nc, err := net.Dial("tcp", c.Addr)
	if err != nil {
		return Ended{How: err.Error()}
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(nc)
	for line := range strings.SplitSeq(lines, ",") {
		if line != "x" { // the rest of the one before
			if _, err := r.ReadString('\n'); err != nil {
				return Ended{How: err.Error()}
			}
		}
		fmt.Fprintf(nc, "%s\r\n", line)
	}
	r.ReadString('\n')
	return Ended{How: "said it all"}
}
