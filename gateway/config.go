package gateway

import (
	"time"
)

// Config is a gateway's configuration, as its file has it. Times are written
// "30s"; addresses HOST:PORT, a path for a unix socket, or fd:NAME for a socket
// that systemd hands over.
type Config struct {
	Status       string        `toml:"status"`      // address of /metrics and /healthz; "": none
	Pprof        bool          `toml:"pprof"`       // /debug/pprof there too; only on loopback
	Drain        time.Duration `toml:"drain"`       // how long sessions may go on after SIGTERM (30s)
	ExpiryWarn   time.Duration `toml:"expiry_warn"` // before which a certificate's end is warned of (336h)
	Certificates []Certificate `toml:"certificate"` // for all listeners that have none of their own
	ACME         ACME          `toml:"acme"`        // certificates that the gateway gets itself, for the same listeners
	Listeners    []Listener    `toml:"listener"`
}

// Certificate is a chain and its key, or a folder of them.
type Certificate struct {
	Cert      string `toml:"cert"`      // PEM file: the certificate, then its chain
	Key       string `toml:"key"`       // PEM file; "": in Cert
	OCSP      string `toml:"ocsp"`      // file of a response to staple (DER); "fetch": from the authority; "": none
	Directory string `toml:"directory"` // folder with NAME.pem, or NAME.crt and NAME.key, or NAME/fullchain.pem and NAME/privkey.pem

	later bool // the file may not be there yet
}

// ACME has certificates issued and renewed (RFC 8555), one for each name.
type ACME struct {
	Names     []string `toml:"names"`     // none: no ACME
	Directory string   `toml:"directory"` // the authority's URL; "": Let's Encrypt's
	CA        string   `toml:"ca"`        // PEM file of the authorities that vouch for that URL's server; "": the system's
	Email     string   `toml:"email"`     // of the account; "": none
	Agree     bool     `toml:"agree"`     // to the authority's terms, which must be said
	HTTP      string   `toml:"http"`      // where HTTP-01 is answered (RFC 8555, section 8.3); port 80 must lead there
	TLSALPN   string   `toml:"tls_alpn"`  // where TLS-ALPN-01 is answered (RFC 8737); port 443 must lead there
	Storage   string   `toml:"storage"`   // folder of the account, keys and certificates ("/var/lib/starttls-gateway")
	NewKeys   bool     `toml:"new_keys"`  // another key at each renewal, which TLSA records 3 1 1 do not survive
}

// Listener is a service: where clients come, and where they are led.
type Listener struct {
	Name     string   `toml:"name"`     // in logs and metrics; "": the protocol's
	Listen   []string `toml:"listen"`   // addresses
	Mode     string   `toml:"mode"`     // terminate (default), originate or guard
	Protocol string   `toml:"protocol"` // as "starttls protocols" lists them
	Dialogue string   `toml:"dialogue"` // file that describes a protocol of lines, in its place: see protocol.ParseDialogue

	Clear        string        `toml:"clear"`         // of mode guard, what becomes of sessions in clear: refuse (default) or log
	TLS          string        `toml:"tls"`           // required (default) or optional
	SignIn       string        `toml:"sign_in"`       // with optional, where clients may sign in: tls (default) or anywhere
	Accept       string        `toml:"accept"`        // starttls (default), implicit, or both on one port
	ServerName   string        `toml:"server_name"`   // whom the gateway greets as; "": this machine's name
	Certificates []Certificate `toml:"certificate"`   // instead of the common ones
	MinTLS       string        `toml:"min_tls"`       // 1.2 (default) or 1.3
	ClientCert   string        `toml:"client_cert"`   // off (default), optional or required
	ClientCA     string        `toml:"client_ca"`     // PEM file of the authorities of client certificates
	ClientNames  []string      `toml:"client_names"`  // names of which a client's certificate must have one
	ProxyFrom    []string      `toml:"proxy_from"`    // networks whose connections begin with the PROXY protocol
	Allow        []string      `toml:"allow"`         // networks that may connect; none: all
	Deny         []string      `toml:"deny"`          // networks that may not
	PassivePorts string        `toml:"passive_ports"` // FTP's data connections, "50000-50100"; "": any
	PublicIP     string        `toml:"public_ip"`     // that FTP clients are told; "": the one they came to

	Backend Backend `toml:"backend"`
	Limits  Limits  `toml:"limits"`
}

// Backend is the server behind a listener.
type Backend struct {
	Address    string   `toml:"address"`     // HOST:PORT or a path
	TLS        string   `toml:"tls"`         // none, starttls or implicit; default: none in mode terminate, starttls in originate
	ServerName string   `toml:"server_name"` // whose certificate it has; "": the address's host
	CA         string   `toml:"ca"`          // PEM file of its authorities; "": the system's
	Pins       []string `toml:"pins"`        // SHA-256 of its public key (SPKI) in base64: one must match, instead of a chain if there is no CA
	Verify     string   `toml:"verify"`      // what proves it: pkix (default: CA, pins or both), dane (TLSA records) or mta-sts (pkix, and the policy of Domain)
	Domain     string   `toml:"domain"`      // of mta-sts: whose mail the server takes
	Resolver   string   `toml:"resolver"`    // of dane and mta-sts: the DNS server, whose word on DNSSEC is believed; "": of /etc/resolv.conf
	Cert       string   `toml:"cert"`        // client certificate
	Key        string   `toml:"key"`
	Identify   string   `toml:"identify"` // how it is told of the client: proxy-v1, proxy-v2, or protocol (XCLIENT, ID); "": not
}

// Limits bounds what clients can make the gateway do. Zero is the default.
type Limits struct {
	Connections int           `toml:"connections"`        // at once (10000)
	PerAddress  int           `toml:"connections_per_ip"` // at once, from one address; of IPv6 from one /64 (100)
	Handshakes  int           `toml:"handshakes"`         // connections before TLS at once (1000)
	Handshake   time.Duration `toml:"handshake"`          // from the connection to the end of the handshake (30s)
	Dial        time.Duration `toml:"dial"`               // to the backend (10s)
	Idle        time.Duration `toml:"idle"`               // without a byte in either direction (35m)
	Commands    int           `toml:"commands"`           // lines and packets before TLS (50)
	Refused     int           `toml:"refused_commands"`   // commands refused before TLS (20)
	Line        int           `toml:"line"`               // bytes of one line before TLS (4096)
	Bytes       int           `toml:"bytes"`              // bytes before TLS (16384)
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (l Limits) withDefaults() Limits {
	l.Connections = or(l.Connections, 10000)
	l.PerAddress = or(l.PerAddress, 100)
	l.Handshakes = or(l.Handshakes, 1000)
	l.Handshake = or(l.Handshake, 30*time.Second)
	l.Dial = or(l.Dial, 10*time.Second)
	l.Idle = or(l.Idle, 35*time.Minute)
	l.Commands = or(l.Commands, 50)
	l.Refused = or(l.Refused, 20)
	l.Line = or(l.Line, 4096)
	l.Bytes = or(l.Bytes, 16<<10)
	return l
}
