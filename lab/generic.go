package lab

import (
	"bytes"
	"crypto/tls"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/starttls"
)

// stripping are the cases in which the offer of TLS is tampered with.
var stripping = []Case{
	{ID: honestID, Title: "nothing is wrong", Does: "offers TLS, insists on it, and has a sound certificate: what a working client must manage",
		lies: []lie{{mode: starttls.Grant}}},
	{ID: controlID, Title: "the first answer inside TLS is late", Does: "is honest, but keeps its first answer inside TLS back: a client that does not wait can not be judged by the cases that inject answers",
		lies: []lie{{mode: starttls.Optional, withhold: true}}},
	{ID: "strip-caps", Number: 1, Title: "the offer of TLS is removed", Does: "does not list TLS, lists signing in, and grants TLS to a client that asks for it all the same",
		References: []string{"RFC 3207 section 6", "RFC 8314", "CVE-2021-22946"}, not: needsWord,
		lies: []lie{spelled(func(string) string { return marker })}},
	{ID: "strip-caps-refuse", Number: 2, Title: "the offer is removed, and TLS refused", Does: "behaves as a server that knows no TLS, and lists signing in",
		References: []string{"RFC 3207 section 6", "RFC 8314", "CVE-2021-22946", "CVE-2015-3152"}, not: needsOffer,
		lies: []lie{{mode: starttls.Hide}}},
	{ID: "mask", Number: 3, Title: "the offer is overwritten", Does: "lists XXXXXXXA in the place of TLS, as some firewalls do, and refuses it",
		References: []string{"RFC 3207 section 6"}, not: needsWord,
		lies: []lie{{mode: starttls.Optional, keyword: func(string) string { return "XXXXXXXA" }, goAhead: no(refuseForever)}}},
	{ID: "case-lower", Number: 4, Title: "the offer in small letters", Does: "lists TLS in small letters", not: needsWord, lies: []lie{spelled(strings.ToLower)}},
	{ID: "case-mixed", Number: 4, Title: "the offer in mixed letters", Does: "lists TLS in mixed letters", not: needsWord,
		lies: []lie{spelled(func(w string) string { return strings.ToUpper(w[:1]) + strings.ToLower(w[1:]) })}},
	{ID: "case-tail", Number: 4, Title: "a longer word for the offer", Does: "lists a word of which TLS is but the beginning, and refuses it", not: needsWord,
		lies: []lie{{mode: starttls.Optional, keyword: func(w string) string { return w + "X" }, goAhead: no(refuseForever)}}},
	{ID: "case-head", Number: 4, Title: "a word that ends as the offer", Does: "lists a word of which TLS is but the end, and refuses it", not: needsWord,
		lies: []lie{{mode: starttls.Optional, keyword: func(w string) string { return "X-" + w }, goAhead: no(refuseForever)}}},
	{ID: "case-equals", Number: 4, Title: "the offer with an equals sign", Does: "lists TLS with an equals sign behind it", not: needsWord,
		lies: []lie{spelled(func(w string) string { return w + "=" })}},
	{ID: "auth-downgrade", Number: 37, Title: "signing in is offered in clear", Does: "offers TLS, and beside it signing in with the password itself",
		References: []string{"RFC 9051 section 6.2.3", "RFC 4954 section 4"}, lies: []lie{{mode: starttls.Optional}}},
	{ID: "latch", Number: 38, Title: "TLS is gone the second time", Does: "is honest to the client's first run, and hides TLS from its second",
		References: []string{"RFC 8314 section 5", "RFC 3207 section 6"}, not: needsOffer, lies: []lie{{mode: starttls.Optional}, {mode: starttls.Hide}}},
}

// refusing are the cases in which the request for TLS gets no consent.
var refusing = []Case{
	{ID: "error-perm", Number: 5, Title: "TLS is refused for good", Does: "answers the request as one that does not know it, and goes on in clear",
		References: []string{"CVE-2016-0772", "RFC 3207 section 4"}, lies: []lie{{mode: starttls.Optional, goAhead: no(refuseForever)}}},
	{ID: "error-temp", Number: 6, Title: "TLS is refused for now", Does: "answers the request as one that has no TLS now, and goes on in clear",
		References: []string{"CVE-2016-0772", "CVE-2021-22946"}, lies: []lie{{mode: starttls.Optional, goAhead: no(refuseForNow)}}},
	{ID: "error-other", Number: 7, Title: "a yes to something else", Does: "answers the request with a success of another kind", References: []string{"CVE-2021-32066"}, not: needsGoAhead, lies: []lie{odd(oddOther)}},
	{ID: "error-more", Number: 7, Title: "go on, in the place of yes", Does: "answers the request with a code that asks for more", not: needsText, lies: []lie{odd(oddMore)}},
	{ID: "error-prefix", Number: 7, Title: "yes with a tail", Does: "answers the request with a word of which the right one is but the beginning", not: needsText, lies: []lie{odd(oddWord)}},
	{ID: "error-unknown", Number: 7, Title: "a code that does not exist", Does: "answers the request with a code that the protocol does not know", References: []string{"CVE-2021-32066"}, not: needsText, lies: []lie{odd(oddCode)}},
	{ID: "error-bare", Number: 7, Title: "yes without a text", Does: "consents with the code alone", not: needsText, lies: []lie{odd(oddBare)}},
	{ID: "error-empty", Number: 7, Title: "an empty answer", Does: "answers the request with an empty line, and goes on in clear", not: needsText, lies: []lie{odd(oddEmpty)}},
	{ID: "close-on-starttls", Number: 8, Title: "the connection ends at the request", Does: "closes the connection when TLS is asked for; serves the next one in clear if asked to",
		lies: []lie{{mode: starttls.Optional, hangUp: true, goAhead: silence}}},
	{ID: "silent-drop", Number: 9, Title: "the request is not answered", Does: "says nothing more once TLS is asked for, for two seconds, and closes",
		lies: []lie{{mode: starttls.Optional, goAhead: silence, patience: 2 * time.Second}}},
	{ID: "delay", Number: 41, Title: "the consent comes late", Does: "consents to TLS after two seconds",
		not: needsGoAhead, lies: []lie{{mode: starttls.Optional, goAhead: func(_ *rehearsal, q request) []starttls.Segment {
			return []starttls.Segment{{Data: q.consent, Delay: 2 * time.Second}}
		}}}},
}

func silence(*rehearsal, request) []starttls.Segment { return nil }

// needsText is the reason where a consent is no line of text.
func needsText(r *rehearsal) string {
	if why := needsGoAhead(r); why != "" {
		return why
	}
	if at, _ := codeAt(string(r.goAhead)); at < 0 {
		return "the consent is no line of text (error-other changes its bytes)"
	}
	return ""
}

// breaking are the cases in which the handshake goes wrong.
var breaking = []Case{
	{ID: "ok-no-tls", Number: 10, Title: "consent without TLS", Does: "consents to TLS, answers the ClientHello in clear, and goes on in clear",
		lies: []lie{{mode: starttls.Optional, shake: func(s *session, nc netConn) error { return s.insteadOfHandshake(nc, s.refusals[refuseForever]) }}}},
	{ID: "hs-abort", Number: 11, Title: "the handshake is refused", Does: "answers the ClientHello with the alert handshake_failure, and goes on in clear", lies: []lie{{mode: starttls.Optional, shake: alert(40)}}},
	{ID: "hs-abort-name", Number: 11, Title: "the name is not recognised", Does: "answers the ClientHello with the alert unrecognized_name, and goes on in clear", lies: []lie{{mode: starttls.Optional, shake: alert(112)}}},
	{ID: "hs-abort-reset", Number: 11, Title: "the handshake breaks off", Does: "closes in the middle of its ServerHello",
		lies: []lie{{mode: starttls.Optional, shake: func(s *session, nc netConn) error {
			return s.breakOff(nc, []byte{0x16, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3})
		}}}},
	{ID: "hs-garbage", Number: 12, Title: "garbage for a handshake", Does: "answers the ClientHello with bytes that are no TLS, and goes on in clear", lies: []lie{{mode: starttls.Optional, shake: instead(bytes.Repeat([]byte{0xa5}, 512))}}},
	{ID: "version-old", Number: 13, Title: "old TLS alone", Does: "has TLS 1.0 and 1.1 alone, which no client may use any more", References: []string{"RFC 8996"},
		not: func(r *rehearsal) string {
			if r.protocol.Info().MinVersion > tls.VersionTLS12 {
				return "the protocol itself demands TLS 1.3"
			}
			return ""
		},
		lies: []lie{{mode: starttls.Optional, refusable: true, tls: func(k *pki) (*tls.Config, error) {
			cfg, err := k.good()
			cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			cfg.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}
			return cfg, err
		}}}},
	{ID: "anon", Number: 26, Title: "a key exchange without a certificate", Does: "chooses an anonymous key exchange, in which nobody proves who he is, if the client offers one",
		References: []string{"RFC 9325 section 4.1"}, lies: []lie{{mode: starttls.Optional, refusable: true, shake: anonymous}}},
	{ID: "tls-then-clear", Number: 36, Title: "TLS ends, the session goes on", Does: "closes TLS after the client's first words inside it, and goes on in clear",
		lies: []lie{{mode: starttls.Optional, closeTLS: true}}},
	{ID: "reconnect-loop", Number: 39, Title: "every handshake fails, three times", Does: "fails the handshake of three runs of the client and of every connection in them, and goes on in clear",
		lies: []lie{{mode: starttls.Optional, shake: alert(40)}, {mode: starttls.Optional, shake: alert(40)}, {mode: starttls.Optional, shake: alert(40)}}},
}

// injecting are the cases in which what was said in clear is meant to be taken
// for something said inside TLS.
var injecting = []Case{
	{ID: "inject-resp", Number: 27, Title: "answers are put behind the consent", Does: "says, in the segment of its consent, what it will be asked for inside TLS, and then keeps that answer back: a client that goes on has taken the one in clear",
		References: []string{"CVE-2021-38371", "CVE-2020-15685", "CVE-2020-14954", "CVE-2021-23222", "CVE-2026-41319"}, injects: true, not: needsGoAhead,
		lies: []lie{{mode: starttls.Optional, withhold: true, goAhead: func(r *rehearsal, q request) []starttls.Segment { return whole(q.consent, r.answers) }}}},
	{ID: "inject-resp-partial", Number: 28, Title: "a piece of a line is put behind the consent", Does: "says, in the segment of its consent, the beginning of a line, and is honest inside TLS: a client that gets nowhere there has glued the two",
		References: []string{"RFC 3207 section 4.2"}, injects: true, not: needsGoAhead,
		lies: []lie{{mode: starttls.Optional, glues: true, goAhead: func(r *rehearsal, q request) []starttls.Segment {
			return whole(q.consent, r.answers[:min(len(r.answers), 3)])
		}}}},
	{ID: "inject-resp-tls-refused", Number: 29, Title: "no, and the rest of a session in one segment", Does: "refuses TLS, and says in the same segment what it would be asked for next",
		References: []string{"CVE-2021-22947"}, lies: []lie{{mode: starttls.Optional, goAhead: func(r *rehearsal, q request) []starttls.Segment {
			return whole(r.refuse(refuseForNow, q.history), r.answers)
		}}}},
	{ID: "early-ok", Number: 31, Title: "the consent comes before the request", Does: "says its consent before it is asked, and nothing after", References: []string{"CVE-2026-42246"}, injects: true, not: needsGoAhead, lies: []lie{early()}},
}

// inside are the cases that show what a client does with what it learned in
// clear, and with more than it can take.
var inside = []Case{
	{ID: "caps-lie-after", Number: 34, Title: "another list inside TLS", Does: "lists PLAIN alone for signing in before TLS, and LOGIN alone inside: a client that uses PLAIN goes by the list in clear, or by none",
		References: []string{"RFC 3207 section 4.2", "RFC 9051 section 6.2.1"}, not: needsMechanisms, lies: []lie{lists("PLAIN", "LOGIN")}},
	{ID: "no-reissue", Number: 35, Title: "nothing is listed inside TLS", Does: "lists PLAIN for signing in before TLS, and nothing that anybody knows inside: a client that uses PLAIN has not asked again, or goes by no list",
		References: []string{"RFC 3207 section 4.2", "RFC 9051 section 6.2.1"}, not: needsMechanisms, lies: []lie{lists("PLAIN", "XLAB-NONE")}},
	{ID: "flood-line", Number: 42, Title: "a line of ten million bytes", Does: "begins with a line of ten million bytes", lies: []lie{flood(sync.OnceValue(func() []byte { return bytes.Repeat([]byte("x"), 10<<20) }))}},
	{ID: "flood-lines", Number: 42, Title: "a hundred thousand lines", Does: "begins with a hundred thousand lines", lies: []lie{flood(sync.OnceValue(func() []byte { return bytes.Repeat([]byte("220-x\r\n"), 100_000) }))}},
	{ID: "flood-nul", Number: 42, Title: "NULs before the greeting", Does: "begins with NULs", lies: []lie{flood(func() []byte { return slices.Concat(make([]byte, 64), []byte("\r\n")) })}},
	{ID: "flood-escape", Number: 42, Title: "escape sequences for a terminal", Does: "begins with escape sequences that colour a terminal and set its title", lies: []lie{flood(func() []byte { return []byte("\x1b[31;1;4m\x1b]0;lab\x07\r\n") })}},
}

// lists tells of one way to sign in before TLS, and of another inside.
func lists(before, inside string) lie {
	return lie{mode: starttls.Optional, hello: func(h *starttls.Hello) { h.Auth = []string{before} }, helloInside: func(h *starttls.Hello) { h.Auth = []string{inside} },
		reject: func(mechanism string) string {
			if mechanism == before {
				return "signed in by " + before + ", which was listed in clear alone"
			}
			return ""
		}}
}

// needsMechanisms is the reason where no list of SASL mechanisms is told.
func needsMechanisms(r *rehearsal) string {
	if !slices.Contains(r.hello.Auth, "PLAIN") {
		return "no list of ways to sign in is told before TLS and inside"
	}
	return ""
}
