package mta

import (
	"fmt"
	"path"
	"slices"

	"example.org/starttls/lab"
)

// Case is a domain with mail servers, and what its policies are. One message to
// it is what a sender is judged by.
type Case struct {
	lab.Case // Does says what there is at the domain

	Mail   string // what the message is to be sent with: MAIL's parameter REQUIRETLS, or ""
	Header string // a header field that it is to have, or ""

	must     bool     // the message must get there; else it must not
	should   bool     // the specification but recommends it: who does otherwise is warned
	unsigned bool     // the domain is in the zone without signatures
	stages   []stage  // each run of the sender meets the next, once the message got there in the one before
	zone     string   // further records: $ is the domain, % the port, with the words of the first host's TLSA records
	broken   []string // names whose signatures have expired
	failing  []string // names of which the server answers that it failed
	report   string   // how the domain wants reports: "mail", "https", or ""
}

// stage is how things are at a domain.
type stage struct {
	hosts []host // in the order of preference
	sts   sts
}

// host is a mail server.
type host struct {
	name   string      // below the domain; "": mx
	mx     string      // what the MX record says instead
	open   bool        // its name is in the zone without signatures
	cert   certificate // nil: of the authority that senders trust, for its name
	tlsa   []string    // its TLSA records, filled in by words
	hide   bool        // it offers no TLS
	caps   []string    // what it lists besides
	asked  bool        // the certificate is for those who ask for the server's name (SNI); others get one for another
	refuse bool        // the message must not get there
}

// sts is what there is of MTA-STS.
type sts struct {
	record string // at _mta-sts; "": none
	policy string // at the policy host: $ is the domain; "": no such page
	page
}

// page is how a policy host serves.
type page struct {
	cert      certificate // nil: as that of a host
	redirect  bool        // the policy is where another answer leads
	endless   bool        // it does not end
	mediaType string      // "": text/plain
	down      bool        // nobody answers
}

// words are a case's own.
func words(id, title, does string, references ...string) lab.Case {
	return lab.Case{ID: id, Title: title, Does: does, References: references}
}

// HonestID is the case without a fault or a policy, which the others are compared
// with.
const HonestID = "mta-honest"

// Catalogue lists every case.
func Catalogue() []Case {
	return slices.Concat([]Case{{
		Case: words(HonestID, "a sound server", "has no policy, and a server with a good certificate"),
		must: true, stages: at(host{}),
	}}, daneCases, namesCases, stsCases, policyHostCases, requireCases, reportCases)
}

// at are the stages of a case that has one, without MTA-STS.
func at(hosts ...host) []stage { return []stage{{hosts: hosts}} }

// Lookup finds the case called id.
func Lookup(id string) (Case, error) {
	for _, c := range Catalogue() {
		if c.ID == id {
			return c, nil
		}
	}
	return Case{}, fmt.Errorf("no case is called %q", id)
}

// Matching are the cases of the catalogue that one of the patterns stands for,
// as in "dane-*", and the honest one; without patterns all. A pattern that stands
// for none is an error.
func Matching(patterns []string) ([]Case, error) {
	all := Catalogue()
	if len(patterns) == 0 {
		return all, nil
	}
	out := all[:1]
	for _, p := range patterns {
		found := false
		for _, c := range all {
			ok, err := path.Match(p, c.ID)
			if err != nil {
				return nil, fmt.Errorf("%q is no pattern: %w", p, err)
			}
			found = found || ok
			if ok && !slices.ContainsFunc(out, func(o Case) bool { return o.ID == c.ID }) {
				out = append(out[:len(out):len(out)], c)
			}
		}
		if !found {
			return nil, fmt.Errorf("no case is called %q", p)
		}
	}
	return out, nil
}
