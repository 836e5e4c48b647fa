package gateway

import (
	"encoding/base64"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.org/starttls/protocol"
)

// The example in docs/ is read without complaint, shows every key, and is in
// order but for the files that it names.
func TestExample(t *testing.T) {
	b, err := os.ReadFile("../docs/gateway.toml")
	must(t, err)
	cfg, err := Parse(string(b))
	must(t, err)
	var all func(typ reflect.Type)
	all = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for i := range typ.NumField() {
			if key := typ.Field(i).Tag.Get("toml"); !strings.Contains(string(b), key) {
				t.Errorf("the example does not show %q", key)
			}
			all(typ.Field(i).Type)
		}
	}
	all(reflect.TypeFor[Config]())
	ca := newPKI(t)
	cfg.Certificates = ca.certificates()
	for i := range cfg.Listeners {
		if l := &cfg.Listeners[i]; l.ClientCA != "" {
			l.ClientCA = ca.root
		}
	}
	must(t, Check(cfg))
}

func TestBadConfig(t *testing.T) {
	ca := newPKI(t)
	ok := func(edit func(l *Listener)) Config {
		l := Listener{Listen: []string{"127.0.0.1:0"}, Protocol: "imap", Certificates: ca.certificates(), Backend: Backend{Address: "127.0.0.1:1"}}
		edit(&l)
		return Config{Listeners: []Listener{l}}
	}
	if err := Check(ok(func(*Listener) {})); err != nil {
		t.Fatal(err)
	}
	dane := func(edit func(b *Backend)) func(*Listener) {
		return func(l *Listener) {
			l.Backend = Backend{Address: "mail.example.test:143", TLS: "starttls", Verify: "dane", Resolver: "127.0.0.1"}
			edit(&l.Backend)
		}
	}
	if err := Check(ok(dane(func(*Backend) {}))); err != nil {
		t.Error(err)
	}
	for want, edit := range map[string]func(l *Listener){
		"listen is missing":              func(l *Listener) { l.Listen = nil },
		"backend.address is missing":     func(l *Listener) { l.Backend.Address = "" },
		`no protocol is called "x"`:      func(l *Listener) { l.Protocol = "x" },
		"RDP says again":                 func(l *Listener) { l.Protocol = protocol.RDP.Info().Name },
		"mode is":                        func(l *Listener) { l.Mode = "x" },
		"tls is":                         func(l *Listener) { l.TLS = "x" },
		"sign_in is for":                 func(l *Listener) { l.SignIn = "tls" },
		"sign_in is tls":                 func(l *Listener) { l.TLS, l.SignIn = "optional", "x" },
		"could sign in in clear":         func(l *Listener) { l.Protocol, l.TLS = "postgresql", "optional" },
		"accept is":                      func(l *Listener) { l.Accept = "x" },
		"whose server speaks first":      func(l *Listener) { l.Accept = "both" },
		"no certificate":                 func(l *Listener) { l.Certificates = nil },
		"no such file":                   func(l *Listener) { l.Certificates = []Certificate{{Cert: "/nowhere"}} },
		"min_tls is":                     func(l *Listener) { l.MinTLS = "1.1" },
		"client_cert is":                 func(l *Listener) { l.ClientCert = "x" },
		"client_cert needs":              func(l *Listener) { l.ClientCert = "required" },
		"of no use without":              func(l *Listener) { l.ClientNames = []string{"x"} },
		"is no network":                  func(l *Listener) { l.Deny = []string{"x"} },
		"is no range":                    func(l *Listener) { l.Protocol, l.PassivePorts = "ftp", "9-1" },
		"backend.tls is":                 func(l *Listener) { l.Backend.TLS = "x" },
		"backend.identify is":            func(l *Listener) { l.Backend.Identify = "x" },
		"has no words for":               func(l *Listener) { l.Protocol, l.Backend.Identify = "ldap", "protocol" },
		"of no use with backend.tls":     func(l *Listener) { l.Backend.CA = ca.root },
		"is not the SHA-256":             func(l *Listener) { l.Backend.TLS, l.Backend.Pins = "starttls", []string{"x"} },
		"verify = dane or mta-sts alone": func(l *Listener) { l.Backend.TLS, l.Backend.Resolver = "starttls", "127.0.0.1" },
		"backend.verify is":              func(l *Listener) { l.Backend.TLS, l.Backend.Verify = "starttls", "x" },
		"ca, pins, verify and cert":      func(l *Listener) { l.Backend.Verify = "dane" },
		"needs a server's name and port": dane(func(b *Backend) { b.Address = "127.0.0.1:25" }),
		"no place beside verify":         dane(func(b *Backend) { b.Pins = []string{base64.StdEncoding.EncodeToString(make([]byte, 32))} }),
		"is no address: 127.0.0.1:53":    dane(func(b *Backend) { b.Resolver = "dns.example.test" }),
		"DANE goes by the server's name": dane(func(b *Backend) { b.Domain = testDomain }),
		"needs backend.domain":           dane(func(b *Backend) { b.Verify = "mta-sts" }),
		"is for mail between servers":    dane(func(b *Backend) { b.Verify, b.Domain = "mta-sts", testDomain }),
		"clients in clear from everywhere": func(l *Listener) {
			l.Mode, l.Certificates, l.Listen = "originate", nil, []string{":143"}
		},
		"are for mode terminate":                                          func(l *Listener) { l.Mode = "originate" },
		"are for mode terminate: guard":                                   func(l *Listener) { l.Mode = "guard" },
		"have no place in mode guard":                                     func(l *Listener) { l.Mode, l.Certificates, l.Backend.TLS = "guard", nil, "starttls" },
		"clear is refuse or log":                                          func(l *Listener) { l.Mode, l.Certificates, l.Clear = "guard", nil, "x" },
		"clear is for mode guard":                                         func(l *Listener) { l.Clear = "log" },
		`listen: "25" is no address`:                                      func(l *Listener) { l.Listen = []string{"25"} },
		`"[::1]:99999" is no address`:                                     func(l *Listener) { l.Listen = []string{"[::1]:99999"} },
		"backend.address: \"mail.example.test\" is no address":            func(l *Listener) { l.Backend.Address = "mail.example.test" },
		"clients of /gw.sock have none":                                   func(l *Listener) { l.Listen, l.Backend.Identify = []string{"/gw.sock"}, "protocol" },
		"accept = implicit begins with TLS":                               func(l *Listener) { l.TLS, l.Accept = "optional", "implicit" },
		"which imap has not":                                              func(l *Listener) { l.PassivePorts = "1-2" },
		"is no IP address":                                                func(l *Listener) { l.Protocol, l.PublicIP = "ftp", "x" },
		"limits.commands is -1":                                           func(l *Listener) { l.Limits.Commands = -1 },
		`limits.idle is 35ns: write it with its unit, as in idle = "30s"`: func(l *Listener) { l.Limits.Idle = 35 },
		"limits.dial is -1s":                                              func(l *Listener) { l.Limits.Dial = -time.Second },
		"min_tls, client_cert, client_ca and client_names are for":        func(l *Listener) { l.Mode, l.Certificates, l.MinTLS = "originate", nil, "1.3" },
		"is there to add TLS":                                             func(l *Listener) { l.Mode, l.Certificates, l.Backend.TLS = "originate", nil, "none" },
	} {
		if err := Check(ok(edit)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted %q, got %v", want, err)
		}
	}
	twice := ok(func(*Listener) {})
	twice.Listeners = append(twice.Listeners, twice.Listeners[0])
	if err := Check(twice); err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("two of one name: %v", err)
	}
	twice.Listeners[1].Name = "other"
	if err := Check(twice); err == nil || !strings.Contains(err.Error(), "is in the way of 127.0.0.1:0") {
		t.Errorf("two at one address: %v", err)
	}
	for want, edit := range map[string]func(c *Config){
		"pprof is for loopback":            func(c *Config) { c.Status, c.Pprof = ":9219", true },
		"pprof is a page of status":        func(c *Config) { c.Pprof = true },
		`status: "9219" is no address`:     func(c *Config) { c.Status = "9219" },
		"drain is 30ns":                    func(c *Config) { c.Drain = 30 },
		"in the way of :25, of the status": func(c *Config) { c.Status, c.Listeners[0].Listen = ":25", []string{"127.0.0.1:25"} },
	} {
		c := ok(func(*Listener) {})
		edit(&c)
		if err := Check(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted %q, got %v", want, err)
		}
	}
}

func TestClash(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"127.0.0.1:25", "127.0.0.1:25"}: true,
		{":25", "127.0.0.1:25"}:          true,
		{"[::1]:25", ":25"}:              true,
		{"[::]:25", "192.0.2.1:25"}:      true,
		{"0.0.0.0:25", "localhost:25"}:   true,
		{"0.0.0.0:25", "[::1]:25"}:       false,
		{"127.0.0.1:25", "127.0.0.2:25"}: false,
		{":25", ":26"}:                   false,
		{":0", "127.0.0.1:0"}:            false,
		{"/run/a", ":25"}:                false,
	} {
		if clash(pair[0], pair[1]) != want {
			t.Errorf("%q: wanted %v", pair, want)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"drian = \"30s\"\n":                  `1: "drian" is no key here; is it "drain"?`,
		"drain = 30 s\n":                     "1: ",
		"[[listener]]\ntsl = \"optional\"\n": `2: "listener.tsl" is no key here; is it "tls"?`,
		"\n\n[[listener]]\nlisten = [\":1\"]\nprotcol = \"imap\"": `5: "listener.protcol" is no key here; is it "protocol"?`,
		"[[listener]]\n[listener.limits]\nper_ip = 1":             `3: "listener.limits.per_ip" is no key here`,
		"[[listener]]\n[listener.backend]\nadress = \"x\"":        `3: "listener.backend.adress" is no key here; is it "address"?`,
		"[[listener]]\n[listener.limts]\nidle = \"1s\"":           `2: "listener.limts" is no key here; is it "limits"?`,
		"[[listener]]\nlisten = 25\n":                             `2: (last key "listener.listen"): incompatible types`,
	} {
		if _, err := Parse(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: wanted %q, got %v", text, want, err)
		}
	}
}
