package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

// Load reads a configuration file. Unknown keys are errors.
func Load(file string) (Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Config{}, err
	}
	cfg, err := Parse(string(b))
	if err != nil {
		return cfg, fmt.Errorf("%s:%w", file, err)
	}
	return cfg, nil
}

// Parse reads a configuration. Errors begin with the line, and a colon.
func Parse(text string) (cfg Config, err error) {
	md, err := toml.Decode(text, &cfg)
	var bad toml.ParseError
	if errors.As(err, &bad) {
		return cfg, fmt.Errorf("%d: %s", bad.Position.Line, bad.Message)
	}
	if err != nil { // a value of the wrong type
		line, what, _ := strings.Cut(strings.TrimPrefix(err.Error(), "toml: line "), " ")
		return cfg, fmt.Errorf("%s: %s", line, what)
	}
	unknown := md.Undecoded()
	if len(unknown) == 0 {
		return cfg, nil
	}
	key := unknown[0]
	message := fmt.Sprintf("%d: %q is no key here", lineOf(text, key), key.String())
	if near := nearest(key[len(key)-1], keysAt(reflect.TypeFor[Config](), key[:len(key)-1])); near != "" {
		message += fmt.Sprintf("; is it %q?", near)
	}
	return cfg, errors.New(message)
}

// lineOf finds where a key stands first, as a key or as a table.
func lineOf(text string, key toml.Key) int {
	last := key[len(key)-1]
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		name, _, isKey := strings.Cut(line, "=")
		if isKey && strings.Trim(strings.TrimSpace(name), `"'`) == last || strings.Trim(line, "[] ") == key.String() {
			return i + 1
		}
	}
	return 1
}

// keysAt lists the keys of the table that path leads to.
func keysAt(t reflect.Type, path []string) (out []string) {
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("toml")
		if len(path) > 0 && name == path[0] {
			return keysAt(t.Field(i).Type, path[1:])
		}
		out = append(out, name)
	}
	return out
}

// nearest is the name that differs least, if it differs little.
func nearest(name string, among []string) string {
	best, found := 1+len(name)/2, ""
	for _, a := range among {
		if d := distance(name, a); d < best {
			best, found = d, a
		}
	}
	return found
}

// distance counts the letters to be put in, left out or changed, or exchanged
// with the next (Damerau and Levenshtein).
func distance(a, b string) int {
	var rows [3][]int // of the letter before the last, the last, and this
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[2] {
		rows[2][j] = j
	}
	for i := range len(a) {
		rows[0], rows[1], rows[2] = rows[1], rows[2], rows[0]
		rows[2][0] = i + 1
		for j := range len(b) {
			cost := rows[1][j]
			if a[i] != b[j] {
				cost = 1 + min(rows[1][j], rows[2][j], rows[1][j+1])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, rows[0][j-1]+1)
			}
			rows[2][j+1] = cost
		}
	}
	return rows[2][len(b)]
}

// Check reports what is wrong with cfg, as New would, with all files that it
// names.
func Check(cfg Config) error {
	_, err := New(cfg, slog.New(slog.DiscardHandler))
	return err
}
