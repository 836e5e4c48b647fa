package check

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/starttls"
)

// Target is a service to check.
type Target struct {
	Protocol starttls.Protocol
	Implicit bool   // it begins with TLS
	Host     string // as it was typed
	Port     int
	Address  string // IP:PORT to connect to; empty: Host and Port
}

// String gives the target as a URL.
func (t Target) String() string {
	scheme := t.Protocol.Info().Name
	if t.Implicit {
		scheme += "s"
	}
	return scheme + "://" + net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
}

// Options is how to check. The zero value verifies against the system's roots.
type Options struct {
	Roots    *x509.CertPool      // nil: the system's
	Given    []*x509.Certificate // the roots given by hand: a server that presents one itself is trusted
	Name     string              // whom the certificate must name; empty: the target's host
	Profile  *Profile            // house rules; nil: the catalogue's
	Policies *Policies           // of the domain that the target was found for; nil: none are looked at
	Names    []string            // others that the server serves too: each must get a certificate for it by SNI
	Local    string              // what we call ourselves; empty: "localhost"
	Timeout  time.Duration       // of one phase of one connection; 0: 10 s
	Level    Level               // how far to go; 0: ActiveProbes
	Full     bool                // every variant of every test
	Soon     time.Duration       // "expires soon" is less than this; 0: 14 days
	Dialer   func(ctx context.Context, network, addr string) (net.Conn, error)
	Now      func() time.Time // nil: time.Now

	// Lint, if not nil, names the rules for public certificates that one in DER
	// breaks. It is asked where Full is set.
	Lint func(der []byte) []string

	Online         bool   // ask certificates' authorities whether they were revoked
	Require        string // the level that must be reached: encrypt, verify, mta-sts or dane; "": any
	MaxConnections int    // to the server, in all; 0: 25, or 250 where Full
	// Progress, if not nil, is told what is being done. It is called from several
	// goroutines, and must not block.
	Progress   func(Progress)
	Transcript bool // keep the dialogue in the result
}

// Progress is where a check is.
type Progress struct {
	Target   string
	Done, Of int    // tests; 0 of 0 before their number is known
	Doing    string // the id of a test, or why nothing happens for a while
}

// Level is how far tests may go; the zero value is ActiveProbes.
type Level int

// The levels, 0 to 3 on the command line.
const (
	Passive      Level = iota + 1 // one visit, as any client makes it
	Handshake                     // more of them, with handshakes of other kinds
	ActiveProbes                  // and things that no client would say, all of them harmless
	Intrusive                     // and sign-ins with random credentials, and mail transactions up to a recipient
)

// newRun prepares a check of t, the options' defaults filled in.
func newRun(t Target, o Options) *run {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Soon <= 0 {
		o.Soon = 14 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Level == 0 {
		o.Level = ActiveProbes
	}
	if o.Require == "" && o.Profile != nil {
		o.Require = o.Profile.Require
	}
	if t.Address == "" {
		t.Address = net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
	}
	if o.Name == "" {
		o.Name = t.Host
	}
	r := &run{target: t, options: o, connector: newConnector(o, t.Address), start: time.Now()}
	r.Result = Result{Target: t.String(), Protocol: t.Protocol.Info().Name, Address: t.Address, ServerName: o.Name, Level: "none",
		StartTLS:    StartTLS{Implicit: t.Implicit, Before: []string{}, After: []string{}},
		Certificate: Certificate{Chain: []Cert{}}, Exposed: []Exposed{}, Findings: []Finding{},
		Against: Against{Eavesdropper: "exposed", Attacker: "exposed"}}
	return r
}

// Run checks t at one address. What goes wrong is in the Result.
func Run(ctx context.Context, t Target, o Options) Result {
	if o.Roots == nil {
		go x509.SystemCertPool() // reads all of them, once, which is slow: meanwhile there is the way to TLS
	}
	r := newRun(t, o)
	r.connector.waits = func(why string) { r.progress(0, 0, why) }
	r.progress(0, 0, "upgrade")
	if o.Policies != nil {
		r.bearing = o.Policies.on(ctx, t)
	}
	r.lives = r.upgrade(ctx)
	enumerated := func() {}
	if r.options.Full && (r.Outcome == Upgraded || r.Outcome == HandshakeFailed || r.blind) {
		enumerated = r.enumerate(ctx)
	}
	if r.lives || r.version != 0 {
		r.tests(ctx)
	}
	enumerated()
	r.conclude()
	return r.Result
}

// run is one check under way.
type run struct {
	Result
	target      Target
	options     Options
	connector   *connector
	start       time.Time
	hello       starttls.Hello        // in clear, on the first visit
	served      []*x509.Certificate   // by the first visit
	version     uint16                // of TLS on it
	otherChains [][]*x509.Certificate // of the other kind of key
	bearing     *bearing              // of the domain's policies; nil where none are looked at
	lives       bool                  // its session inside TLS
	blind       bool                  // TLS is not offered, and is asked for all the same
	unsure      bool                  // the connection ended before anything could be told of TLS
}

func (r *run) progress(done, of int, doing string) {
	if r.options.Progress != nil {
		r.options.Progress(Progress{r.Target, done, of, doing})
	}
}

// conclude judges what was found.
func (r *run) conclude() {
	r.reached()
	r.StartTLS.Required = r.required()
	if r.bearing != nil {
		r.apply(r.bearing)
	}
	if p := r.options.Profile; p != nil {
		p.weigh(&r.Result)
	}
	r.against()
	if need := r.options.Require; need != "" && !r.unsure && slices.Index(levels, r.Level) < slices.Index(levels, need) {
		detail := fmt.Sprintf("the level %s is required, and %s is reached", need, r.Level)
		if r.options.Policies == nil && (need == "dane" || need == "mta-sts") {
			detail += "; policies were not looked up, as they are where a domain is checked"
		}
		r.add("level-too-low", detail)
	}
	r.finish()
}

// finish draws the verdict from the findings.
func (r *run) finish() {
	r.Connections = r.connector.connections()
	r.Milliseconds.Total = milliseconds(time.Since(r.start))
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(slices.Index(severities, b.Severity)-slices.Index(severities, a.Severity), slices.Index(verdicts, a.Verdict)-slices.Index(verdicts, b.Verdict))
	})
	worst := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Bad() && f.Severity.AtLeast(Low) })
	switch {
	case r.unsure:
		r.Verdict = "failed"
	case worst:
		r.Verdict = "findings"
	case r.Outcome == Upgraded:
		r.Verdict = "ok"
	default:
		r.Verdict = "failed"
	}
	if !r.options.Transcript {
		r.Transcript = nil
	}
}

// reached is the level that TLS and the certificate alone make.
func (r *run) reached() {
	if r.Outcome == Upgraded {
		r.Level = "encrypt"
		if r.Certificate.Verified {
			r.Level = "verify"
		}
	}
}

// against judges whom a careful client is safe from: one that insists on TLS and
// verifies, where clients sign in; between servers, one that goes by the
// standards, and falls back to cleartext unless a policy forbids it.
func (r *run) against() {
	r.Against = Against{Eavesdropper: "exposed", Attacker: "exposed"}
	if r.Outcome != Upgraded {
		r.Against.EavesdropperFix = r.fixOf(func(Finding) bool { return true })
		r.Against.AttackerFix = r.Against.EavesdropperFix
		return
	}
	r.Against.Eavesdropper = "safe"
	broken := func(f Finding) bool { // the upgrade or its TLS can be attacked, whatever the certificate
		return f.Verdict == Vulnerable && (slices.ContainsFunc(injectionFindings, f.is) || slices.ContainsFunc(boundaryFindings, f.is)) ||
			f.Bad() && slices.Contains(breaksTLS, f.ID)
	}
	switch {
	case slices.ContainsFunc(r.Findings, broken):
		r.Against.AttackerFix = r.fixOf(broken)
	case r.bound():
		r.Against.Attacker = "safe"
	case !r.Certificate.Verified:
		r.Against.AttackerFix = r.fixOf(func(f Finding) bool { return strings.HasPrefix(f.ID, "cert-") })
	case r.role() == starttls.Relay:
		r.Against.AttackerFix = r.fixOf(func(f Finding) bool { return strings.HasPrefix(f.ID, "dane-") || strings.HasPrefix(f.ID, "sts-") })
		if r.Against.AttackerFix == "" {
			r.Against.AttackerFix = "Publish a policy that senders must keep to: DANE (TLSA records in a signed zone) or MTA-STS in the mode enforce."
		}
	default:
		r.Against.Attacker = "safe"
	}
}

// breaksTLS are the faults that break a careful client's session, or give away
// the server's key. The others need a client that agrees to something weak.
var breaksTLS = []string{"tls-heartbleed", "tls-ccs-injection", "tls-robot", "tls-ticketbleed", "tls-drown", "tls-insecure-renegotiation"}

// fixOf is the fix of the worst finding that is meant.
func (r *run) fixOf(meant func(Finding) bool) string {
	fix, worst := "", Severity("")
	for _, f := range r.Findings {
		if meant(f) && f.Bad() && !worst.AtLeast(f.Severity) || fix == "" && meant(f) && f.Verdict == Noted {
			fix, worst = f.Fix, f.Severity
		}
	}
	return fix
}
