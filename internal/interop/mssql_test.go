package interop

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/starttls"

	_ "github.com/microsoft/go-mssqldb"
)

// Microsoft's own driver for Go signs in and asks, with its certificate check on.
func TestMSSQLOnOurServer(t *testing.T) {
	for encrypt, scheme := range map[string]string{"true": "tds", "strict": "tdss"} {
		t.Run("encrypt="+encrypt, func(t *testing.T) {
			t.Parallel()
			meet(t, scheme, starttls.ServerSide, "go-mssqldb")
			o := serve(t, scheme)
			db := openMSSQL(t, o.addr, encrypt, serverName)
			check(t, db.PingContext(t.Context()))
			var one int
			check(t, db.QueryRowContext(t.Context(), "select 1").Scan(&one))
			if one != 1 || !strings.Contains(o.heard(), "sign-in LOGIN7 me") {
				t.Errorf("it answers %d; the session heard %q", one, o.heard())
			}
		})
	}
}

// It does not get to sign in without TLS, nor with the wrong server.
func TestMSSQLIsTurnedAway(t *testing.T) {
	for name, c := range map[string]struct{ encrypt, server, says string }{
		"without TLS":  {"disable", serverName, "TLS Handshake failed"},
		"wrong server": {"true", "other.example.net", "not other.example.net"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := serve(t, "tds")
			err := openMSSQL(t, o.addr, c.encrypt, c.server).PingContext(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.says) || o.heard() != "" {
				t.Errorf("%v; the session heard %q", err, o.heard())
			}
		})
	}
}

func openMSSQL(t *testing.T, addr, encrypt, server string) *sql.DB {
	t.Helper()
	q := url.Values{"encrypt": {encrypt}, "certificate": {authority(t).File}, "hostNameInCertificate": {server}}
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword("me", "secret"), Host: addr, RawQuery: q.Encode()}
	db, err := sql.Open("sqlserver", u.String())
	check(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// FreeTDS, whose TLS is GnuTLS, likewise.
func TestFreeTDSOnOurServer(t *testing.T) {
	meet(t, "tds", starttls.ServerSide, "FreeTDS")
	o := serve(t, "tds")
	conf := filepath.Join(t.TempDir(), "freetds.conf")
	check(t, os.WriteFile(conf, fmt.Appendf(nil, "[ours]\nhost = 127.0.0.1\nport = %s\ntds version = 7.4\nencryption = require\nca file = %s\n", o.port(), authority(t).File), 0o644))
	out, err := runClient(t, "select 1\ngo\nexit\n", []string{"FREETDSCONF=" + conf}, "tsql", "-S", "ours", "-U", "me", "-P", "secret")
	if err != nil || !strings.Contains(out, "(1 row affected)") || !strings.Contains(o.heard(), "sign-in LOGIN7 me") {
		t.Errorf("%v; the session heard %q\n%s", err, o.heard(), out)
	}
}
