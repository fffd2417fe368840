// Package prompt holds the operator's rules on what no agent is asked.
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

// Rules deny prompts. The zero Rules deny none.
type Rules []rule

// rule is one entry of the operator's file.
type rule struct {
	name    string
	pattern *regexp.Regexp // RE2, so that no prompt takes longer than its length says
}

// Load reads rules from a YAML file, a list of {name, pattern}; "" is no file
// and no rules. All mistakes are reported at once.
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
	for i, l := range entries {
		if l.Name == "" || l.Pattern == "" {
			errs = append(errs, fmt.Errorf("rule %d needs a name and a pattern", i+1))
			continue
		}
		pattern, err := regexp.Compile(l.Pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %q: %w", l.Name, err))
			continue
		}
		rules = append(rules, rule{name: l.Name, pattern: pattern})
	}
	return rules, errors.Join(errs...)
}

// Denies returns the name of the first rule against a text; "" when there is none.
func (rules Rules) FirstMatch(text string) (name string) {
	for _, r := range rules {
		if r.pattern.MatchString(text) {
			return r.name
		}
	}
	return ""
}
