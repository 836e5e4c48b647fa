package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"example.org/starttls"
)

// Schema is the name of the report's form.
const Schema = "starttls.lab/1"

// Report is what Run found out. Fields may be added to its JSON, never renamed.
type Report struct {
	Schema  string   `json:"schema"`
	Client  []string `json:"client,omitempty"` // the command, before anything was filled in
	Expect  Expect   `json:"expect"`
	Results []Result `json:"results"`
	Error   string   `json:"error,omitempty"` // why it could not be told, where that is so for all
}

// Result is how a client fared in one case.
type Result struct {
	Protocol    string   `json:"protocol"`
	Case        string   `json:"case"`
	Title       string   `json:"title"`
	Verdict     Verdict  `json:"verdict"`
	Score       Score    `json:"score"`
	Detail      string   `json:"detail"`
	Leaks       []Leak   `json:"leaks"`
	Evidence    []string `json:"evidence"`
	References  []string `json:"references"`
	Connections int      `json:"connections"`
	Client      string   `json:"client"` // how it ended, in words
	Log         string   `json:"log,omitempty"`
	Millis      int64    `json:"milliseconds"`

	upgraded, spokeInside, late, signedIn, glues, panicked bool // see gained, lie and Ended
}

// Expect is what the client was asked to do.
type Expect string

// What a client may have been asked for.
const (
	Required      Expect = "required"      // TLS with a verified certificate, or nothing
	Opportunistic Expect = "opportunistic" // TLS if possible
)

// Verdict is a word for a result, as in check's reports.
type Verdict string

// The verdicts.
const (
	Vulnerable   Verdict = "vulnerable"
	Warn         Verdict = "warn"
	Info         Verdict = "info" // an opportunistic client did what such clients do
	OK           Verdict = "ok"
	Inconclusive Verdict = "inconclusive"
	Skipped      Verdict = "skipped"
)

// Score is how much a client gave away.
type Score string

// The scores, least first. The last is as bad as the one before it.
const (
	Closed    Score = "0"  // nothing
	Harmless  Score = "1"  // it went on in clear, and said nothing of interest
	Metadata  Score = "2"  // addresses or names, or it believed what was said in clear
	Secrets   Score = "3"  // credentials or content in clear
	SecretTLS Score = "3t" // the same inside TLS that must be refused
)

func (s Score) rank() int { return strings.Index("0123", string(s[0])) }

// Leak is something that a client gave away, without the secret itself.
type Leak struct {
	What      string `json:"what"` // "sign-in", "content" or "metadata"
	Mechanism string `json:"mechanism,omitempty"`
	User      string `json:"user,omitempty"`
	Length    int    `json:"length,omitempty"` // of the secret, in bytes
	SHA256    string `json:"sha256,omitempty"` // of the secret
	TLS       bool   `json:"tls"`              // said inside TLS that must be refused
}

func newLeak(l starttls.Leak, tls bool) Leak {
	out := Leak{What: l.What, Mechanism: l.Mechanism, User: l.User, TLS: tls}
	if len(l.Secret) > 0 {
		sum := sha256.Sum256(l.Secret)
		out.Length, out.SHA256 = len(l.Secret), hex.EncodeToString(sum[:])
	}
	return out
}

func (l Leak) score() Score {
	switch {
	case l.What == "metadata":
		return Metadata
	case l.TLS:
		return SecretTLS
	}
	return Secrets
}

func (l Leak) String() string {
	where := "in clear"
	if l.TLS {
		where = "inside TLS that must be refused"
	}
	what := map[string]string{"sign-in": "credentials", "content": "content", "metadata": "names or addresses"}[l.What]
	if l.Mechanism != "" {
		what += " (" + starttls.Escape(l.Mechanism) + ")"
	}
	return what + " " + where
}

// Bait is what a client is given to sign in with, so that it is known where it
// turns up. Empty: only what the lab's sessions understand is seen.
type Bait struct{ User, Password string }

// in reports whether the password is in b, bare or in base64 wherever in it.
func (t Bait) in(b []byte) bool {
	if len(t.Password) < 8 {
		return false
	}
	if bytes.Contains(b, []byte(t.Password)) {
		return true
	}
	for lead := range 3 { // base64 of a text depends on where in a group of three it begins
		code := base64.StdEncoding.EncodeToString([]byte("xx"[:lead] + t.Password))
		code = code[(lead*8+5)/6 : (lead+len(t.Password))*8/6]
		if bytes.Contains(b, []byte(code)) {
			return true
		}
	}
	return false
}
