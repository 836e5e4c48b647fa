package interop

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.org/starttls"
)

// client is a program that works with our server half. What the session hears
// from it inside TLS, or what it says itself, proves that it has come there.
type client struct {
	peer, scheme string
	heard        string // in the session
	says         string // by the client, when not ""
	listen       string // where our server listens, 127.0.0.1:0 if ""
	fails        bool   // it ends with an error for want of more than our session has
	run          func(t *testing.T, o *ours, ca string) (string, error)
}

func TestClientsOnOurServers(t *testing.T) {
	for _, c := range slices.Concat(signInClients, clients, goLibraries) {
		t.Run(c.peer+"/"+c.scheme, func(t *testing.T) {
			t.Parallel()
			meet(t, c.scheme, starttls.ServerSide, c.peer)
			o := serveAt(t, c.scheme, cmp.Or(c.listen, "127.0.0.1:0"))
			out, err := c.run(t, o, authority(t).File)
			if err != nil && !c.fails || !o.hears(c.heard) || !strings.Contains(out, c.says) {
				t.Errorf("%v; the session heard %q\n%s", err, o.heard(), out)
			}
		})
	}
}

// hears waits for the session to hear what a client may have said just before
// it ended.
func (o *ours) hears(what string) bool {
	for end := time.Now().Add(5 * time.Second); !strings.Contains(o.heard(), what); {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

var clients = []client{
	{peer: "Cyrus IMAP", scheme: "imap", heard: "sign-in PLAIN me", run: cyrusTest("imtest", "")},
	{peer: "Cyrus IMAP", scheme: "pop3", heard: "sign-in PLAIN me", run: cyrusTest("pop3test", "")},
	{peer: "Cyrus IMAP", scheme: "nntp", says: "C: CAPABILITIES\r\nS: 101 Capability list:\r\nS: VERSION 2\r\nS: READER\r\nS: AUTHINFO", run: cyrusTest("nntptest", "")},
	{peer: "Cyrus IMAP", scheme: "lmtp", heard: "TLS", run: cyrusTest("lmtptest", "")},
	{peer: "Cyrus IMAP", scheme: "smtp", heard: "sign-in PLAIN me", run: cyrusTest("smtptest", "")},
	{peer: "Cyrus IMAP", scheme: "submission", heard: "sign-in PLAIN me", run: cyrusTest("smtptest", "")},
	{peer: "Cyrus IMAP", scheme: "sieve", heard: "sign-in PLAIN me", run: cyrusTest("sivtest", "")},
	{peer: "Cyrus IMAP", scheme: "mupdate", heard: "sign-in PLAIN me", run: cyrusTest("mupdatetest", "")},
	{peer: "Cyrus IMAP", scheme: "http", heard: "TLS", run: cyrusTest("httptest", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")},
	{peer: "libnbd", scheme: "nbd", fails: true, says: "newstyle-fixed with TLS", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "", nil, "nbdinfo", "--list", "nbds://"+o.addr+"/?tls-certificates="+caFolder(t, ca))
	}},
	{peer: "QEMU", scheme: "nbd", says: "exports available: ", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "", nil, "qemu-nbd", "--list", "--object", "tls-creds-x509,id=tls,endpoint=client,dir="+caFolder(t, ca),
			"--tls-creds=tls", "--bind=127.0.0.1", "--port="+o.port())
	}},
	{peer: "CUPS", scheme: "ipp", heard: "TLS", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "", nil, "lpstat", "-E", "-h", o.addr, "-r")
	}},
	{peer: "GTK-VNC", scheme: "vnc", heard: "TLS", run: gvnccapture},
	{peer: "NUT", scheme: "nut", heard: "sign-in", run: upsmon},
	{peer: "C-Kermit", scheme: "telnet", heard: "TLS", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "", nil, "kermit", "-Y", "-B", "-H", "-C", "set auth tls verify-file "+ca+", set auth tls verify peer-cert, set telopt start-tls required, set host 127.0.0.1 "+o.port()+" /telnet, input 10 login:, lineout me, input 10 Password:, lineout secret, pause 1, exit")
	}},
	{peer: "lftp", scheme: "ftp", heard: "sign-in USER me", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "", nil, "lftp", "-e", "set ssl:ca-file "+ca+"; set ftp:ssl-force true; set net:max-retries 1; open -u me,secret ftp://127.0.0.1:"+o.port()+"; quote PWD; quit")
	}},
	{peer: "go-sendxmpp", scheme: "xmpp-client", heard: "sign-in", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "hello\n", []string{"SSL_CERT_FILE=" + ca}, "go-sendxmpp", "-u", mailUser, "-p", "secret", "-j", o.addr, mailUser)
	}},
	{peer: "sieve-connect", scheme: "sieve", heard: "sign-in PLAIN me", run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "secret\n", nil, "sieve-connect", "--server", "127.0.0.1", "--port", o.port(), "--user", "me", "--tlscafile", ca, "--tlshostname", serverName, "--nosrv", "--passwordfd", "0", "--list")
	}},
	// Shishi's client ends after the handshake by a fault of its own, with its own KDC too.
	{peer: "Shishi", scheme: "kerberos", listen: loopback() + ":88", heard: "TLS", says: "TLS handshake completed", fails: true, run: func(t *testing.T, o *ours, ca string) (string, error) {
		return runClient(t, "", nil, "shishi", "-v", "-o", "realm-kdc="+realm+","+o.host()+"/tls", "--realm", realm, "--client-name", "me")
	}},
	{peer: "irssi", scheme: "irc", heard: "TLS", run: irssi},
	{peer: "FreeRDP", scheme: "rdp", heard: "metadata", fails: true, run: xfreerdp},
}

// cyrusTest runs one of the test clients of Cyrus, which signs in by PLAIN where
// it can, and then says session.
func cyrusTest(program, session string) func(t *testing.T, o *ours, ca string) (string, error) {
	return func(t *testing.T, o *ours, ca string) (string, error) {
		// It is one program, whose name says which protocol it speaks; the package
		// that has it by the name mupdatetest is another one.
		path := filepath.Join(t.TempDir(), program)
		check(t, os.Symlink("/usr/lib/cyrus/bin/imtest", path))
		return runClient(t, session, nil, path, "-t", "", "-m", "PLAIN", "-a", "me", "-u", "me", "-w", "secret", "-p", o.port(), "127.0.0.1")
	}
}

// caFolder is a folder with the root by the name that libnbd and QEMU look for.
func caFolder(t *testing.T, ca string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile(ca)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "ca-cert.pem"), text, 0o644))
	return dir
}

// upsmon is the only client of NUT that asks for TLS.
func upsmon(t *testing.T, o *ours, ca string) (string, error) {
	const program = "/lib/nut/upsmon"
	s := newServer(t, "upsmon", program, "/usr/bin/certutil")
	s.write(t, "upsmon.conf", fmt.Sprintf("MONITOR ups@127.0.0.1:%s 1 me secret primary\nRUN_AS_USER root\nSHUTDOWNCMD /bin/false\nCERTPATH %s\nCERTVERIFY 1\nFORCESSL 1\n",
		o.port(), s.nssDatabase(t)), 0o640)
	return s.until(t, func() bool { return strings.Contains(o.heard(), "sign-in") }, "/usr/bin/env", "NUT_CONFPATH="+s.Dir, "NUT_ALTPIDPATH="+s.Dir, program, "-F")
}

// irssi wants a terminal; script gives it one.
func irssi(t *testing.T, o *ours, ca string) (string, error) {
	s := newServer(t, "irssi", "/usr/bin/irssi", "/usr/bin/script")
	s.write(t, "config", fmt.Sprintf(`servers = ({ address = "localhost"; port = %s; chatnet = "test"; autoconnect = "yes";
  starttls = "yes"; tls_verify = "yes"; tls_cafile = "%s"; password = "secret"; });
chatnets = { test = { type = "IRC"; nick = "me"; }; };
`, o.port(), ca), 0o644)
	return s.until(t, func() bool { return strings.Contains(o.heard(), "sign-in") }, "/usr/bin/script", "-qec", "TERM=vt100 irssi --home="+s.Dir, "/dev/null")
}

// gvnccapture looks for roots in the home that the system knows of, whatever
// HOME says, and waits for a picture, which our session never paints.
func gvnccapture(t *testing.T, o *ours, ca string) (string, error) {
	s := newServer(t, "gvnccapture", "/usr/bin/gvnccapture", "/usr/bin/unshare")
	check(t, os.Symlink(ca, filepath.Join(s.mkdir(t, ".pki/CA"), "cacert.pem")))
	port, err := strconv.Atoi(o.port())
	check(t, err)
	script := fmt.Sprintf("mount --bind %s /root && exec gvnccapture 127.0.0.1:%d %s/screen.png", s.Dir, port-5900, s.Dir)
	return s.until(t, func() bool { return strings.Contains(s.logs(), "Connected to ") }, "/usr/bin/unshare", "-m", "/bin/sh", "-c", script)
}

// until runs a client that stays until it is ended, and returns when it has got
// where it was to get.
func (s *server) until(t *testing.T, there func() bool, argv ...string) (string, error) {
	t.Helper()
	s.run(t, "root", nil, argv...)
	s.await(t, "get there", there)
	return s.logs(), nil
}

// xfreerdp wants a display, which Xvfb gives it. Our session ends where the
// desktop would begin, so that it has come far enough once it has said its first
// word inside TLS.
func xfreerdp(t *testing.T, o *ours, ca string) (string, error) {
	return runClient(t, "", []string{"SSL_CERT_FILE=" + ca}, "xvfb-run", "-a", "xfreerdp", "/v:localhost:"+o.port(), "/u:me", "/p:secret", "/cert:deny", "/sec:tls", "+auth-only")
}
