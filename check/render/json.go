package render

import (
	"encoding/json"
	"io"

	"example.org/starttls/check"
)

// JSON writes the report as one object, indented.
func JSON(w io.Writer, r check.Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
