package interop

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.org/starttls"
)

// xSession signs in over the X protocol by MySQL's own connector for Node.js, and
// asks for a row.
const xSession = `
const [port, ca, name] = process.argv.slice(2);
const tls = { enabled: ca !== '', ca: ca || undefined, checkServerIdentity: (_, c) => require('tls').checkServerIdentity(name, c) };
require('@mysql/xdevapi').getSession({ host: '127.0.0.1', port: Number(port), user: 'me', password: 'secret', tls: ca ? tls : { enabled: false } })
	.then(s => s.sql('select 1').execute().then(r => { console.log('row', r.fetchOne()); return s.close(); }))
	.catch(e => { console.error(e.message); process.exit(1); });
`

func xdevapi(t *testing.T, o *ours, ca, name string) (string, error) {
	t.Helper()
	const module = "@mysql/xdevapi"
	root, err := exec.Command("npm", "root", "--global").Output()
	folder := strings.TrimSpace(string(root))
	if _, err2 := filepath.EvalSymlinks(filepath.Join(folder, module)); err != nil || err2 != nil {
		missing(t, module+" is not installed: run make peers")
	}
	return runClient(t, xSession, []string{"NODE_PATH=" + folder}, "node", "-", o.port(), ca, name)
}

func TestXDevAPIOnOurServer(t *testing.T) {
	meet(t, "mysqlx", starttls.ServerSide, "@mysql/xdevapi")
	o := serve(t, "mysqlx")
	out, err := xdevapi(t, o, authority(t).File, serverName)
	if err != nil || !strings.Contains(out, "row [ 1 ]") || !strings.Contains(o.heard(), "sign-in PLAIN me") {
		t.Errorf("%v; the session heard %q\n%s", err, o.heard(), out)
	}
}

// It does not get to sign in without TLS, nor with the wrong server.
func TestXDevAPIIsTurnedAway(t *testing.T) {
	for name, c := range map[string]struct{ ca, server, says string }{
		"without TLS":  {"", serverName, "TLS comes first"},
		"wrong server": {authority(t).File, "other.example.net", "other.example.net"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := serve(t, "mysqlx")
			out, err := xdevapi(t, o, c.ca, c.server)
			if err == nil || !strings.Contains(out, c.says) || o.heard() != "" {
				t.Errorf("%v; the session heard %q\n%s", err, o.heard(), out)
			}
		})
	}
}
