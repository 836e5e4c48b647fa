package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"example.org/starttls/gateway"
	"example.org/starttls/protocol"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newGateway(a *app) *cobra.Command {
	var g gatewayFlags
	c := &cobra.Command{
		Use:   "gateway [-c FILE | --listen ADDR --protocol NAME --backend ADDR ...]",
		Short: "Put STARTTLS in front of servers, or behind clients, that have none; or watch it",
		Long: `gateway passes sessions on between clients and a server, and is the end of TLS
on one side of it. In mode terminate clients come by STARTTLS, or by TLS from the
first byte, and the server behind may have neither; in mode originate clients on
this machine are in clear, and the server is reached by TLS alone and verified.
Nothing that was said before TLS crosses to the other side. In mode guard the
gateway has no keys and says nothing: it reads the cleartext phase that it passes
on, and lets a session go on when both sides have agreed on TLS and begun with it.

A configuration file has any number of listeners (docs/gateway.toml is one to
start from); the flags make one listener without a file. --check-config reads
everything, opens nothing, and says what is wrong.

SIGHUP reads the configuration and certificates again; certificates are read
again by themselves when their files change. SIGTERM closes the sockets and lets
sessions end. SIGUSR2 starts the program anew and hands the sockets over to it.
The log is JSON on stderr: a line for each connection. docs/running-gateway.md
has the rest.`,
		Example: `  starttls gateway --listen :25 --protocol smtp --tls optional --backend 127.0.0.1:2525 --cert mx.pem --key mx.key
  starttls gateway --mode originate --listen 127.0.0.1:1143 --protocol imap --backend imap.example.org:143
  starttls gateway -c /etc/starttls/gateway.toml --check-config`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := g.config(c)
			if err != nil {
				return err
			}
			log, err := g.logger(a)
			if err != nil {
				return err
			}
			slog.SetDefault(log) // for what libraries say by package log
			gw, err := gateway.New(cfg, log)
			if err != nil {
				return usagef("docs/gateway.toml shows every key", "%s: %v", g.source(), err)
			}
			if g.check {
				fmt.Fprintf(a.out, "%s: in order, %d listeners\n", g.source(), len(cfg.Listeners))
				return nil
			}
			if err := gw.Run(c.Context(), func() (gateway.Config, error) { return g.config(c) }); err != nil {
				return notListening(err, "")
			}
			return nil
		},
	}
	g.flags(c)
	return c
}

// gatewayFlags is a file, or one listener.
type gatewayFlags struct {
	file, logLevel string
	check          bool
	l              gateway.Listener
	cert           gateway.Certificate
	status         string
}

func (g *gatewayFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&g.file, "config", "c", "", "take the configuration from `FILE`")
	f.BoolVar(&g.check, "check-config", false, "say whether the configuration is in order, and end")
	f.StringVar(&g.logLevel, "log-level", "info", "`LEVEL` of the log: debug, info, warn or error")
	f.StringArrayVar(&g.l.Listen, "listen", nil, "clients come to `ADDR` (HOST:PORT, a path, or fd:NAME of systemd)")
	f.StringVar(&g.l.Mode, "mode", "terminate", "`MODE`: terminate, originate or guard")
	f.StringVar(&g.l.Protocol, "protocol", "", "`NAME` of the protocol, as \"starttls protocols\" lists it")
	f.StringVar(&g.l.Dialogue, "dialogue", "", "speak the protocol that `FILE` describes, instead of --protocol")
	f.StringVar(&g.l.Clear, "clear", "", "in mode guard, sessions that go on in clear: refuse (default), or log and pass")
	f.StringVar(&g.l.TLS, "tls", "", "required (default), or optional: sessions in clear pass too")
	f.StringVar(&g.l.SignIn, "sign-in", "", "with --tls optional, where clients may sign in: tls (default) or anywhere")
	f.StringVar(&g.l.Accept, "accept", "", "starttls (default), implicit, or both where the client speaks first")
	f.StringVar(&g.l.ServerName, "server-name", "", "greet clients as `HOST` (default: this machine's name)")
	f.StringVar(&g.cert.Cert, "cert", "", "`FILE` with the certificate and its chain (PEM)")
	f.StringVar(&g.cert.Key, "key", "", "`FILE` with its key (PEM; default: in --cert)")
	f.StringVar(&g.cert.Directory, "cert-dir", "", "`FOLDER` with certificates, chosen by SNI")
	f.StringVar(&g.l.Backend.Address, "backend", "", "the server is at `ADDR` (HOST:PORT or a path)")
	f.StringVar(&g.l.Backend.TLS, "backend-tls", "", "how it is reached: none, starttls or implicit (default: none; in originate starttls)")
	f.StringVar(&g.l.Backend.ServerName, "backend-name", "", "the server's certificate is for `HOST` (default: that of --backend)")
	f.StringVar(&g.l.Backend.CA, "backend-ca", "", "trust the certificates in `FILE` for it, instead of the system's")
	f.StringArrayVar(&g.l.Backend.Pins, "backend-pin", nil, "its public key has this SHA-256, in `BASE64`")
	f.StringVar(&g.l.Backend.Verify, "backend-verify", "", "what proves who it is: pkix (default: --backend-ca or the system's, --backend-pin), dane or mta-sts")
	f.StringVar(&g.l.Backend.Domain, "backend-domain", "", "for mta-sts: it takes the mail of `DOMAIN`")
	f.StringVar(&g.l.Backend.Resolver, "resolver", "", "for dane and mta-sts: ask the DNS server at `ADDR` (IP or IP:PORT), which validates")
	f.StringVar(&g.l.Backend.Identify, "identify", "", "tell it of the client by proxy-v1, proxy-v2 or protocol (XCLIENT, ID)")
	f.StringVar(&g.status, "status", "", "show /metrics and /healthz at `ADDR`")
	c.MarkFlagFilename("config", "toml")
}

func (g *gatewayFlags) source() string {
	if g.file == "" {
		return "gateway"
	}
	return g.file
}

func (g *gatewayFlags) config(c *cobra.Command) (gateway.Config, error) {
	if g.file != "" {
		if beside := listenerFlags(c); len(beside) > 0 {
			return gateway.Config{}, usagef("say it in the file, or say all by flags", "gateway: %s is for one listener without a file, and --config is given", strings.Join(beside, ", "))
		}
		cfg, err := gateway.Load(g.file)
		if err != nil {
			return cfg, usagef("docs/gateway.toml shows every key", "%v", err)
		}
		return cfg, nil
	}
	if g.l.Dialogue != "" {
		if _, err := readDialogue(g.l.Dialogue); err != nil {
			return gateway.Config{}, err
		}
	} else if g.l.Protocol == "" {
		return gateway.Config{}, usagef("as in: "+strings.TrimSpace(strings.Split(c.Example, "\n")[0]), "gateway: neither --config nor --protocol is given")
	} else if _, _, err := protocol.Lookup(g.l.Protocol); err != nil {
		return gateway.Config{}, usagef(`"starttls protocols" lists them`, "--protocol: %v", err)
	}
	cfg := gateway.Config{Status: g.status, Listeners: []gateway.Listener{g.l}}
	if g.cert != (gateway.Certificate{}) {
		if g.cert.Directory != "" {
			cfg.Certificates = append(cfg.Certificates, gateway.Certificate{Directory: g.cert.Directory})
		}
		if g.cert.Cert != "" {
			cfg.Certificates = append(cfg.Certificates, gateway.Certificate{Cert: g.cert.Cert, Key: g.cert.Key})
		}
	}
	return cfg, nil
}

// listenerFlags are those given that make a listener.
func listenerFlags(c *cobra.Command) (out []string) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains([]string{"config", "check-config", "log-level"}, f.Name) {
			out = append(out, "--"+f.Name)
		}
	})
	return out
}

func (g *gatewayFlags) logger(a *app) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return nil, usagef("debug, info, warn or error", "--log-level %q is not known", g.logLevel)
	}
	return slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level})), nil
}
