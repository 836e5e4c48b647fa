package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"

	"example.org/starttls/internal/nearest"

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
	if near := nearest.Word(key[len(key)-1], keysAt(reflect.TypeFor[Config](), key[:len(key)-1])); near != "" {
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

// Check reports what is wrong with cfg, as New would, with all files that it
// names.
func Check(cfg Config) error {
	_, err := New(cfg, slog.New(slog.DiscardHandler))
	return err
}
