package interop

import (
	"regexp"
	"time"
)

// tool is one that is pointed at the servers.
type tool struct {
	name, purpose, version string
	command                string         // of a shell that knows $PORT, $PROTO, $SCHEME, $NAME and $CA
	only                   string         // the $PROTO that it speaks, or has time for; "": all
	began                  *regexp.Regexp // what it prints when TLS was reached
	quotes                 *regexp.Regexp // its lines that are the server's words; nil: none
	limit                  time.Duration
	ours                   bool
}

var tools = []tool{
	{name: "s_client", purpose: "a TLS client for the terminal: one connection, and what was agreed", version: "openssl version",
		command: `openssl s_client -brief -starttls $PROTO -connect 127.0.0.1:$PORT -servername $NAME -CAfile $CA -verify_hostname $NAME -verify_return_error </dev/null`,
		began:   regexp.MustCompile(`CONNECTION ESTABLISHED`), quotes: regexp.MustCompile(`^\d{3}[ -]`), limit: 20 * time.Second},
	{name: "gnutls-cli", purpose: "the same, of GnuTLS; it verifies by itself", version: "gnutls-cli --version",
		command: `gnutls-cli --starttls-proto=$PROTO --x509cafile=$CA --verify-hostname=$NAME --sni-hostname=$NAME -p $PORT 127.0.0.1 </dev/null`,
		began:   regexp.MustCompile(`Handshake was completed`), limit: 20 * time.Second},
	{name: "swaks", purpose: "sends test mail, and shows the dialogue", version: "swaks --version", only: "smtp",
		command: `swaks --server 127.0.0.1 --port $PORT -tls --tls-verify --tls-ca-path $CA --tls-sni $NAME --quit-after HELO </dev/null`,
		began:   regexp.MustCompile(`TLS started with cipher`), quotes: regexp.MustCompile(`^(<|->|~>)`), limit: 20 * time.Second},
	{name: "curl", purpose: "a client that fetches and sends, here with TLS required", version: "curl --version",
		command: `curl -sS --ssl-reqd --cacert $CA --resolve $NAME:$PORT:127.0.0.1 -X NOOP -w 'TLS after %{time_appconnect} s\n' $PROTO://$NAME:$PORT </dev/null`,
		began:   regexp.MustCompile(`TLS after (0\.\d*)?[1-9]`), quotes: regexp.MustCompile(`^(\d{3}[ -]|\*)`), limit: 20 * time.Second},
	{name: "testssl.sh", purpose: "surveys the TLS of a server: versions, suites, old faults, certificate; here its survey of versions alone, since all of it takes minutes", version: "testssl --version", only: "smtp",
		command: `testssl --color 0 --quiet --warnings batch --nodns none --ip 127.0.0.1 --add-ca $CA --starttls $PROTO -p $NAME:$PORT </dev/null`,
		began:   regexp.MustCompile(`(?m)^ TLS 1\S* +offered`), limit: 240 * time.Second},
	{name: "sslscan", purpose: "lists versions, suites and groups, fast", version: "sslscan --version",
		command: `sslscan --no-colour --starttls-$PROTO --sni-name=$NAME 127.0.0.1:$PORT </dev/null`,
		began:   regexp.MustCompile(`(Preferred|Accepted) +TLSv1`), limit: 60 * time.Second},
	{name: "nmap", purpose: "finds ports and what answers there; its scripts list suites and the certificate", version: "nmap --version",
		command: `echo "$PROTO $PORT/tcp 1" >$SCRATCH/nmap-$PORT && nmap -Pn --servicedb $SCRATCH/nmap-$PORT --script ssl-cert,ssl-enum-ciphers 127.0.0.1 </dev/null`,
		began:   regexp.MustCompile(`TLSv1\.\d: |ssl-cert: Subject`), limit: 60 * time.Second},
	{name: "check", purpose: "`starttls check`: whether the upgrade is offered, accepted and safe, and what comes of it", version: "go version", ours: true,
		command: `starttls check --no-color --ca $CA --name $NAME $SCHEME://127.0.0.1:$PORT </dev/null`,
		began:   regexp.MustCompile(`TLS +TLS 1`), quotes: regexp.MustCompile(`^[CS]~?: `), limit: 60 * time.Second},
}

// behaviour is what a server of the demo does, and how a tool would name it: nil
// where the server is in order, and only odd.
type behaviour struct {
	fault string
	names *regexp.Regexp
}

// notInTLS is how tools would name a session that is not inside TLS, where it must
// be; that a client goes on in clear is another matter.
var notInTLS = regexp.MustCompile(`(?i)(server|session|command|cleartext|plain ?text).{0,40}(cleartext|plain ?text|obeyed)`)

var behaviours = []behaviour{
	{"offers it in lower case", nil},
	{"greets without ESMTP", nil},
	{"greets in many lines, byte by byte", nil},
	{"greets after 8 s", nil},
	{"hides TLS", regexp.MustCompile(`(?i)(tls|ssl level).{0,60}(\bno\b|\bnot\b|n't|fail|lack|missing)|(\bno\b|\bnot\b|n't|without|fail\w*).{0,40}(starttls|offer)`)},
	{"masked on the way", regexp.MustCompile(`(?i)mask|strip|tamper|XXXX`)},
	{"accepts TLS that it does not offer", regexp.MustCompile(`(?i)strip|remov|(not|n't|without).{0,40}(offer|advertis|announc|STARTTLS)|STARTTLS.{0,40}(not|n't)`)},
	{"refuses", regexp.MustCompile(`(?i)\b454\b|refus|declin|denied|reject|STARTTLS.{0,60}(fail|error)|(fail\w*|error).{0,40}STARTTLS`)},
	{"serves nobody", regexp.MustCompile(`(?i)\b554\b|no service|refus|reject|unexpected|unable to connect.{0,20}reply`)},
	{"wants fewer connections", regexp.MustCompile(`(?i)\b421\b|too many|throt|fewer connections`)},
	{"closes after the go-ahead", regexp.MustCompile(`(?i)clos(ed|es)|reset|hung up|\beof\b|terminat|premature|errno=104`)},
	{"hangs after the go-ahead", regexp.MustCompile(`(?i)timed? ?-?out|no (answer|response)`)},
	{"stays in clear", regexp.MustCompile(`(?i)clear|plain ?text|not (a )?TLS|no TLS`)},
	{"injects a reply", regexp.MustCompile(`(?i)inject|clear|plain ?text|weird server reply|before TLS`)},
	{"wrong name", regexp.MustCompile(`(?i)name.{0,60}(mismatch|match|differ)|mismatch|not (valid )?for`)},
	{"expired", regexp.MustCompile(`(?i)expired`)},
	{"unknown authority", regexp.MustCompile(`(?i)self[- ]signed|untrusted|not trusted|unknown (authority|ca|issuer)|issuer is unknown|local issuer`)},
	{"old TLS", regexp.MustCompile(`(?i)deprecat|obsolete|too old|TLS ?v?1(\.[01])?\b(:| or 1\.1)? *(is accepted|enabled|offered|$)|unsupported protocol|protocol version`)},
	{"carries commands into TLS", regexp.MustCompile(`(?i)inject|CVE-2011-0411`)},
	{"reads on in clear while TLS begins", regexp.MustCompile(`(?i)inject|CVE-2011-0411`)},
	{"answers from before TLS inside it", regexp.MustCompile(`(?i)inject|before TLS`)},
	{"greets again inside TLS", regexp.MustCompile(`(?i)greet|banner`)},
	{"goes on in clear without TLS", notInTLS},
	{"obeys cleartext between records", notInTLS},
	{"goes on in clear after TLS", notInTLS},
}
