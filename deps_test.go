package starttls_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.org/starttls/protocol"
)

const module = "example.org/starttls"

// may says what each part of the project may import of the others; "" is the
// root package. What is not named here may import nothing of ours. Imports run
// one way: see docs/design.md.
var may = map[string][]string{
	"":         {},
	"protocol": {""},
	"policy":   {"policy"}, // its root alone: each of its packages stands by itself
	"check":    {"", "protocol", "policy", "internal", "check"},
	"gateway":  {"", "protocol", "policy", "internal", "gateway"},
	"lab":      {"", "protocol", "policy", "internal", "lab"},
	"inspect":  {"", "protocol", "policy", "internal", "inspect"},
	"scan":     {"", "protocol", "policy", "internal", "check", "scan"},
	"watch":    {"", "protocol", "policy", "internal", "check", "watch"},
	"internal": {"", "protocol", "internal", "check"},
	"cmd":      {"", "protocol", "policy", "internal", "check", "gateway", "lab", "inspect", "scan", "watch"},
}

// sources gives every Go file that is no test, parsed.
func sources(t *testing.T, f func(part, path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		part := ""
		if dir := filepath.ToSlash(filepath.Dir(path)); dir != "." {
			part, _, _ = strings.Cut(dir, "/")
		}
		f(part, filepath.ToSlash(path), file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportsRunOneWay(t *testing.T) {
	sources(t, func(part, path string, file *ast.File) {
		allowed, known := may[part]
		if !known {
			t.Errorf("%s: nothing is said about imports of %q", path, part)
		}
		if part == "policy" && strings.Count(path, "/") > 1 {
			allowed = nil
		}
		for _, i := range file.Imports {
			name, _ := strconv.Unquote(i.Path.Value)
			if rest, ours := strings.CutPrefix(name, module); ours {
				to, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
				if !slices.Contains(allowed, to) {
					t.Errorf("%s imports %s", path, name)
				}
			} else if (part == "" || part == "protocol") && strings.Contains(strings.Split(name, "/")[0], ".") {
				t.Errorf("%s imports %s: this package has the standard library alone", path, name)
			}
		}
	})
}

// No code outside protocol/ compares anything with a protocol's name.
func TestNobodyKnowsAProtocolByName(t *testing.T) {
	var names []string
	for _, p := range protocol.All() {
		names = append(append(names, p.Info().Name), p.Info().Aliases...)
	}
	isName := func(e ast.Expr) bool {
		l, ok := e.(*ast.BasicLit)
		if !ok || l.Kind != token.STRING {
			return false
		}
		s, _ := strconv.Unquote(l.Value)
		return slices.Contains(names, s)
	}
	sources(t, func(part, path string, file *ast.File) {
		if part == "protocol" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CaseClause:
				if slices.ContainsFunc(n.List, isName) {
					t.Errorf("%s: a case for a protocol's name", path)
				}
			case *ast.BinaryExpr:
				if isName(n.X) || isName(n.Y) {
					t.Errorf("%s: a comparison with a protocol's name", path)
				}
			case *ast.KeyValueExpr:
				if isName(n.Key) {
					t.Errorf("%s: a table by protocols' names", path)
				}
			}
			return true
		})
	})
}
