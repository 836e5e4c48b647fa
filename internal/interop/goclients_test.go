package interop

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"io"
	"log"
	"testing"

	"github.com/Azure/go-amqp"
	"github.com/go-ldap/ldap/v3"
	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
)

// The clients that are libraries for Go programs.
var goLibraries = []client{
	{peer: "go-amqp", scheme: "amqp", heard: "sign-in PLAIN me", run: inGo(func(t *testing.T, o *ours, verify *tls.Config) error {
		// Its own time-out, set anew at the wrong moment, can undo the signal by which
		// it starts TLS.
		c, err := amqp.Dial("amqp://"+o.addr, amqp.ConnTLS(true), amqp.ConnTLSConfig(verify), amqp.ConnSASLPlain("me", "secret"), amqp.ConnIdleTimeout(0))
		if err != nil {
			return err
		}
		return c.Close()
	})},
	{peer: "nats.go", scheme: "nats", heard: "sign-in", run: inGo(func(t *testing.T, o *ours, verify *tls.Config) error {
		c, err := nats.Connect("nats://"+o.addr, nats.Secure(verify), nats.UserInfo("me", "secret"), nats.NoReconnect())
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Flush()
	})},
	{peer: "go-ldap", scheme: "ldap", heard: "sign-in simple cn=me", run: inGo(func(t *testing.T, o *ours, verify *tls.Config) error {
		c, err := ldap.DialURL("ldap://" + o.addr)
		if err != nil {
			return err
		}
		defer c.Close()
		return errors.Join(c.StartTLS(verify), c.Bind("cn=me", "secret"), c.Unbind())
	})},
	{peer: "pgx", scheme: "postgresql", heard: "sign-in PASSWORD me", run: inGo(func(t *testing.T, o *ours, verify *tls.Config) error {
		cfg, err := pgx.ParseConfig("host=127.0.0.1 port=" + o.port() + " user=me password=secret dbname=x sslmode=require")
		if err != nil {
			return err
		}
		cfg.TLSConfig, cfg.DefaultQueryExecMode = verify, pgx.QueryExecModeSimpleProtocol
		c, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			return err
		}
		return c.Close(context.WithoutCancel(t.Context()))
	})},
	{peer: "go-sql-driver", scheme: "mysql", heard: "sign-in mysql_native_password me", run: inGo(func(t *testing.T, o *ours, verify *tls.Config) error {
		cfg := mysql.NewConfig()
		cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.TLS = "tcp", o.addr, "me", "secret", verify
		cfg.Logger = log.New(io.Discard, "", 0)
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return err
		}
		db := sql.OpenDB(connector)
		defer db.Close()
		return db.PingContext(t.Context())
	})},
}

// inGo is a client that runs in this process, and verifies the certificate.
func inGo(run func(t *testing.T, o *ours, verify *tls.Config) error) func(*testing.T, *ours, string) (string, error) {
	return func(t *testing.T, o *ours, _ string) (string, error) {
		return "", run(t, o, &tls.Config{ServerName: serverName, RootCAs: authority(t).Pool})
	}
}
