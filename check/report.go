// Package check tests whether a server upgrades to TLS, and whether what comes
// out of it is sound. Run gives a Result; the names of its JSON form are a
// contract: fields may be added, never renamed.
package check

import (
	"slices"
	"time"
)

// Schema names the JSON form of a Report.
const Schema = "starttls.check/1"

// Report is what a check prints.
type Report struct {
	Schema  string   `json:"schema"`
	Made    string   `json:"made,omitempty"` // when, RFC 3339
	Results []Result `json:"results"`
}

// Result is what was learned of one target at one address.
type Result struct {
	Target       string      `json:"target"`
	Protocol     string      `json:"protocol"`
	Address      string      `json:"address"`
	ServerName   string      `json:"server_name"`
	Verdict      string      `json:"verdict"` // ok, findings or failed
	StartTLS     StartTLS    `json:"starttls"`
	TLS          TLS         `json:"tls"`
	Certificate  Certificate `json:"certificate"`
	Exposed      []Exposed   `json:"exposed"`
	Findings     []Finding   `json:"findings"`
	Error        *Error      `json:"error"`
	Outcome      Outcome     `json:"outcome"`
	Level        string      `json:"level"`
	Against      Against     `json:"against"`
	Policy       Policy      `json:"policy"`
	Milliseconds Times       `json:"milliseconds"`
	Connections  int         `json:"connections"`          // made to the server in all
	Changes      []Change    `json:"changes,omitzero"`     // only where compared with a saved result; empty: nothing has changed
	Path         []Passage   `json:"path,omitempty"`       // only of a path to a reflector
	Via          string      `json:"via,omitempty"`        // how the target was found for a domain: "MX 10"
	Transcript   []string    `json:"transcript,omitempty"` // only when asked for
}

// StartTLS is what the server offers before and inside TLS.
type StartTLS struct {
	Offered  bool     `json:"offered"`
	Accepted bool     `json:"accepted"`
	Implicit bool     `json:"implicit"` // the connection began with TLS
	Required string   `json:"required"` // yes, no or unknown: whether a session can be without TLS, as far as a stranger sees
	Before   []string `json:"before"`
	After    []string `json:"after"`
}

// TLS is what was negotiated; empty where no handshake succeeded.
type TLS struct {
	Version string `json:"version"`
	Cipher  string `json:"cipher"`
	Group   string `json:"group"`
	ALPN    string `json:"alpn"`

	// What the server has, where all of it was asked for.
	Versions   []string            `json:"versions,omitempty"`
	Suites     map[string][]string `json:"suites,omitempty"` // by version, in the server's order where it has one
	Groups     []string            `json:"groups,omitempty"`
	Schemes    []string            `json:"schemes,omitempty"`
	Preference string              `json:"preference,omitempty"` // whose order counts
}

// Certificate is what the server presented.
type Certificate struct {
	Verified bool   `json:"verified"`
	Error    string `json:"error"`
	Chain    []Cert `json:"chain"`

	Other  []Cert      `json:"other,omitempty"`   // the server's own of the other kind of key
	ByName []NamedCert `json:"by_name,omitempty"` // by Options.Names
}

// NamedCert is what the server presents when it is asked for by another name.
type NamedCert struct {
	Name     string `json:"name"`
	Verified bool   `json:"verified"`
	Error    string `json:"error"`
	SHA256   string `json:"sha256"`
}

// Cert is one certificate. Times are RFC 3339, sums hexadecimal.
type Cert struct {
	Subject    string   `json:"subject"`
	Issuer     string   `json:"issuer"`
	Names      []string `json:"names"`
	NotBefore  string   `json:"not_before"`
	NotAfter   string   `json:"not_after"`
	Key        string   `json:"key"`
	SHA256     string   `json:"sha256"`
	SPKISHA256 string   `json:"spki_sha256"`
}

// Exposed is something that went in clear before TLS.
type Exposed struct {
	What string `json:"what"`
	Text string `json:"text"`
}

// Error is why a target could not be told about, or how far it came.
type Error struct {
	Stage   string `json:"stage"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// Against says whom a careful client of this server is safe from ("safe" or
// "exposed"), and where it is not, the one thing to do about it.
type Against struct {
	Eavesdropper    string `json:"eavesdropper"`
	Attacker        string `json:"attacker"`
	EavesdropperFix string `json:"eavesdropper_fix,omitempty"`
	AttackerFix     string `json:"attacker_fix,omitempty"`
}

// Policy is what the domain's policies demand, as far as they were looked up.
type Policy struct {
	Level      string   `json:"level"`                 // of a sender without wishes of its own, in Postfix's words
	Reason     string   `json:"reason,omitempty"`      // why it is that
	ResultType string   `json:"result_type,omitempty"` // what a sender would report of this server (RFC 8460)
	DANE       *DANE    `json:"dane,omitempty"`
	MTASTS     *MTASTS  `json:"mta_sts,omitempty"`
	TLSRPT     []string `json:"tlsrpt,omitempty"` // the record
	CAA        []string `json:"caa,omitempty"`
	Senders    []Sender `json:"senders,omitempty"`
	Resolver   string   `json:"resolver,omitempty"` // that was asked, and whether its word on DNSSEC is trusted
}

// DANE is what TLSA records say.
type DANE struct {
	Demand  string   `json:"demand"` // none, encrypt, dane or unreachable
	Base    string   `json:"base"`
	Reason  string   `json:"reason"`
	Records []string `json:"records"`
	Matched string   `json:"matched"` // the record that proves the server
	Publish []string `json:"publish"` // records for what is served, where none stands for it
}

// MTASTS is an MTA-STS policy.
type MTASTS struct {
	Mode   string   `json:"mode"`
	ID     string   `json:"id"`
	MX     []string `json:"mx"`
	MaxAge int      `json:"max_age"` // seconds
	Error  string   `json:"error"`   // why the server does not satisfy it, or why it can not be had
	Advice []string `json:"advice,omitempty"`
}

// Sender is what one kind of sender would do with mail for the domain here.
type Sender struct {
	Who  string `json:"who"`
	Does string `json:"does"`
	Why  string `json:"why"`
}

// Times is how long each phase took, in milliseconds.
type Times struct {
	Dial      float64 `json:"dial"`
	Cleartext float64 `json:"cleartext"`
	Handshake float64 `json:"handshake"`
	Total     float64 `json:"total"`
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Outcome is how the attempt ended.
type Outcome string

// The outcomes.
const (
	Upgraded         Outcome = "upgraded"
	Intercepted      Outcome = "intercepted" // TLS, with another's certificate
	NotOffered       Outcome = "not-offered"
	Stripped         Outcome = "stripped" // offered by the server, removed on the way
	Refused          Outcome = "refused"
	Throttled        Outcome = "throttled"
	Injected         Outcome = "injected"
	CleartextAfterGo Outcome = "cleartext-after-go-ahead"
	Closed           Outcome = "closed"
	TimedOut         Outcome = "timed-out"
	HandshakeFailed  Outcome = "handshake-failed"
	Unreachable      Outcome = "unreachable"
	NotUnderstood    Outcome = "not-understood" // what listens there does not speak the protocol
)

// Severity of a finding; the zero value is none.
type Severity string

// The severities, least first.
const (
	Info   Severity = "info"
	Low    Severity = "low"
	Medium Severity = "medium"
	High   Severity = "high"
)

var severities = []Severity{"", Info, Low, Medium, High}

// AtLeast reports whether s is as bad as t.
func (s Severity) AtLeast(t Severity) bool {
	return slices.Index(severities, s) >= slices.Index(severities, t)
}

// Verdict is what became of one test.
type Verdict string

// The verdicts.
const (
	Vulnerable   Verdict = "vulnerable"
	Warn         Verdict = "warn"
	Noted        Verdict = "info" // so, and no fault
	Passed       Verdict = "ok"
	Inconclusive Verdict = "inconclusive"
	Skipped      Verdict = "skipped"
)

// verdicts are all of them, worst first.
var verdicts = []Verdict{Vulnerable, Warn, Noted, Inconclusive, Skipped, Passed}

// Finding is what one test found; a test that found nothing wrong has one too,
// whose verdict says so and whose severity is info.
type Finding struct {
	ID         string   `json:"id"`
	Severity   Severity `json:"severity"`
	Verdict    Verdict  `json:"verdict"`
	Title      string   `json:"title"`
	Detail     string   `json:"detail"`
	Evidence   []string `json:"evidence"`
	References []string `json:"references"`
	Fix        string   `json:"fix"`
}

// Bad reports whether f is about a fault.
func (f Finding) Bad() bool { return f.Verdict == Vulnerable || f.Verdict == Warn }

// GotWorse reports whether something is worse than it was when it was saved.
func (r Result) GotWorse() bool {
	return slices.ContainsFunc(r.Changes, func(c Change) bool { return c.Worse })
}

// ExitCode is the exit code of the report. What is certain comes first: 1 where
// a finding is at least as bad as failOn or the upgrade got worse, else 3 where a target could not be
// told about (its verdict is "failed"), else 0.
func (r Report) ExitCode(failOn Severity) int {
	code := 0
	for _, res := range r.Results {
		for _, f := range res.Findings {
			if f.Severity.AtLeast(failOn) && f.Bad() {
				return 1
			}
		}
		if res.GotWorse() {
			return 1
		}
		if res.Verdict == "failed" {
			code = 3
		}
	}
	return code
}
