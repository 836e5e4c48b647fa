package interop

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var built struct {
	sync.Mutex
	file string
}

// command builds the starttls command, at the first call.
func command(t testing.TB) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.file == "" {
		file := filepath.Join(shortDir(untilExit{t}), "starttls")
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", file, "example.org/starttls/cmd/starttls").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		built.file = file
	}
	return built.file
}

// A message that send gives to Postfix, signed in through Dovecot, lies in the
// mailbox that connect then reads by IMAP.
func TestSendIsReadByConnect(t *testing.T) {
	t.Parallel()
	starttls, ca := command(t), authority(t).File
	env := []string{"STARTTLS_PASSWORD=" + password}
	const word = "word-by-which-it-is-known"
	out, err := runClient(t, "Subject: test\r\n\r\n"+word+"\r\n", env, starttls, "send", "--ca", ca, "--name", serverName, "--ehlo", "client.example.test",
		"--server", "submission://"+sharedPostfix(t).Submission, "--auth", "plain", "--user", mailUser, "--from", mailUser, "--to", mailUser, "-")
	if err != nil || !strings.Contains(out, "at level verify") {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(out, password) {
		t.Error("the password is shown")
	}
	var read string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); { // Postfix delivers when it is ready
		read, err = runClient(t, "a SELECT INBOX\nb FETCH 1:* BODY[TEXT]\nc LOGOUT\n", env, starttls, "connect", "--ca", ca, "--name", serverName,
			"--auth", "scram-sha-256", "--user", mailUser, "imap://"+sharedDovecot(t).IMAP)
		if err != nil || strings.Contains(read, word) {
			break
		}
	}
	if err != nil || !strings.Contains(read, word) {
		t.Errorf("%v\n%s", err, read)
	}
}

// connect signs in by each mechanism and protocol that Dovecot and Postfix have.
func TestConnectSignsIn(t *testing.T) {
	t.Parallel()
	starttls, ca := command(t), authority(t).File
	for target, mechanisms := range map[string]string{
		"imap://" + sharedDovecot(t).IMAP: "plain login scram-sha-256", "pop3://" + sharedDovecot(t).POP3: "plain login scram-sha-256",
		"sieve://" + sharedDovecot(t).Sieve: "plain login scram-sha-256", "submission://" + sharedPostfix(t).Submission: "plain login",
	} {
		for mechanism := range strings.FieldsSeq(mechanisms) {
			t.Run(mechanism+" "+target, func(t *testing.T) {
				t.Parallel()
				out, err := runClient(t, "", []string{"STARTTLS_PASSWORD=" + password}, starttls, "connect", "--ca", ca, "--name", serverName, "--auth", mechanism, "--user", mailUser, target)
				if err != nil || !strings.Contains(out, "signed in as "+mailUser) {
					t.Errorf("%v\n%s", err, out)
				}
				out, err = runClient(t, "", []string{"STARTTLS_PASSWORD=wrong"}, starttls, "connect", "--ca", ca, "--name", serverName, "--auth", mechanism, "--user", mailUser, target)
				if err == nil || !strings.Contains(out, "sign-in: ") {
					t.Errorf("a wrong password: %v\n%s", err, out)
				}
			})
		}
	}
}
