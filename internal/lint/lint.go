// Package lint reads a certificate as the rules for public authorities have it.
// It is not linked into the command unless that is built with the tag zlint: its
// rules would cost every start of the command more than a check of one server
// takes.
package lint

import (
	"slices"
	"strings"

	"github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

// Certificate returns the names of the rules that a certificate in DER breaks,
// sorted, each with its source behind it: errors alone, neither warnings nor
// notices.
func Certificate(der []byte) (broken []string) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return []string{"it can not be read (RFC5280)"}
	}
	for name, r := range zlint.LintCertificate(c).Results {
		if r.Status == lint.Error || r.Status == lint.Fatal {
			broken = append(broken, strings.TrimPrefix(name, "e_")+" ("+string(r.LintMetadata.Source)+")")
		}
	}
	slices.Sort(broken)
	return broken
}
