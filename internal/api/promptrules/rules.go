// Package promptrules checks texts against the operator's rules.
//
// In: a file of rules, and the text of a prompt. Out: the name of the first rule that denies the text. The package
// never changes a text.
package promptrules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// Rules deny prompts. Nil Rules deny none.
type Rules []rule

// rule is one entry of the operator's file.
type rule struct {
	name    string
	pattern *regexp.Regexp // RE2: the time of a match is linear in the length of the text
}

// Load reads rules from a YAML file, which is a list of {name, pattern}. No file means no rules. It reports all
// mistakes at once.
func Load(file string) (Rules, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

func parse(data []byte) (Rules, error) {
	var entries []struct {
		Name    string `yaml:"name"`
		Pattern string `yaml:"pattern"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&entries); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var rules Rules
	var errs []error
	for i, entry := range entries {
		if entry.Name == "" || entry.Pattern == "" {
			errs = append(errs, fmt.Errorf("rule %d needs a name and a pattern", i+1))
			continue
		}
		pattern, err := regexp.Compile(entry.Pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %q: %w", entry.Name, err))
			continue
		}
		rules = append(rules, rule{name: entry.Name, pattern: pattern})
	}
	return rules, errors.Join(errs...)
}

// FirstMatch returns the name of the first rule that denies a text; empty if none does.
func (rules Rules) FirstMatch(text string) (name string) {
	for _, r := range rules {
		if r.pattern.MatchString(text) {
			return r.name
		}
	}
	return ""
}
