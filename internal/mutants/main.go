// Command mutants breaks each rule of docs/rules.md on purpose, one at a time,
// and reports which tests notice. It changes nothing in the tree: each broken
// file reaches the compiler as an overlay.
//
//	go run ./internal/mutants            all
//	go run ./internal/mutants gateway    those in files of such a name
//
// It exits 1 when a rule can be broken unnoticed.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	broken := 0
	fmt.Println("| rule | what was broken | what failed |\n|---|---|---|")
	for _, m := range mutants {
		if len(os.Args) > 1 && !strings.Contains(m.file, os.Args[1]) {
			continue
		}
		failed, err := m.run()
		if err != nil {
			fmt.Fprintf(os.Stderr, "mutants: %s: %v\n", m.what, err)
			broken++
			continue
		}
		if len(failed) == 0 {
			broken++
			failed = []string{"**nothing**"}
		}
		fmt.Printf("| %s | %s | %s |\n", m.rule, m.what, strings.Join(failed, ", "))
	}
	if broken > 0 {
		os.Exit(1)
	}
}

// failure finds a test that failed, or hung.
var failure = regexp.MustCompile(`(?m)^(?:--- FAIL: |\t\t)(Test\w+)`)

// run tests the tree with the mutant in it and returns the tests that failed.
func (m mutant) run() ([]string, error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return nil, err
	}
	if strings.Count(string(source), m.old) != 1 {
		return nil, fmt.Errorf("%s holds %d times what is to be broken: %q", m.file, strings.Count(string(source), m.old), m.old)
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(dir, string(source))
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("go", "test", "-overlay", overlay, "-timeout", "120s", ".", "./protocol", "./check", "./gateway").CombinedOutput()
	var failed []string
	for _, f := range failure.FindAllSubmatch(out, -1) {
		failed = append(failed, "`"+string(f[1])+"`")
	}
	if err != nil && len(failed) == 0 {
		return nil, fmt.Errorf("the tests could not run: %s", out)
	}
	slices.Sort(failed)
	return slices.Compact(failed), nil
}

// overlay writes the broken file and the list that puts it in the place of the sound one.
func (m mutant) overlay(dir, source string) (string, error) {
	path, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	mutated := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(mutated, []byte(strings.Replace(source, m.old, m.new, 1)), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutated}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}
