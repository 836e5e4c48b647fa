package check

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// followsSchema holds a result against docs/check.schema.json.
func followsSchema(t *testing.T, r Result) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../docs/check.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(Report{Schema: Schema, Results: []Result{r}})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("%v\n%s", err, b)
	}
}
