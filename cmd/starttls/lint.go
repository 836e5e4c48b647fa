//go:build zlint

package main

import "example.org/starttls/internal/lint"

func init() { lintCertificate = lint.Certificate }
