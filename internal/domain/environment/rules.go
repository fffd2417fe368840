package environment

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rules say which hosts may be reached. The zero value allows none.
type Rules struct{ patterns []pattern }

// pattern matches hosts: any, those below a suffix, or the one of that name.
type pattern struct {
	any   bool
	below bool   // all names below name, at any depth, but not name itself
	name  string // empty if any
	port  int    // 0: defaultPorts
}

// defaultPorts are those of a pattern that names none.
var defaultPorts = []int{443, 80}

// maxNameBytes is the longest name of DNS.
const maxNameBytes = 253

// ParsePatterns reads patterns of hosts, such as api.example.com, *.example.org and git.example.com:8443. The pattern
// *.example.org means all names below example.org, not that name itself. Without a port, a pattern means 443 and 80.
// Names are those of the public DNS in ASCII (xn--): no IP addresses, no single labels, none of the domains that
// networks use for themselves, such as .internal and .local.
func ParsePatterns(list []string) (Rules, error) {
	var (
		r    Rules
		errs []error
	)
	for _, text := range list {
		p, err := parsePattern(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q %w", text, err))
			continue
		}
		r.add(p)
	}
	return r, errors.Join(errs...)
}

// ParseCeiling reads the operator's list: patterns as for ParsePatterns, and * for any host, on 443 and 80, or *:8443
// for any host on that port. Empty elements are skipped.
func ParseCeiling(list []string) (Rules, error) {
	var (
		r    Rules
		errs []error
	)
	for _, text := range list {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		host, port, err := cutPort(text)
		p := pattern{any: true, port: port}
		if err == nil && host != "*" {
			p, err = parsePattern(text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%q %w", text, err))
			continue
		}
		r.add(p)
	}
	return r, errors.Join(errs...)
}

// UnmarshalText reads the operator's list with commas: see ParseCeiling.
func (r *Rules) UnmarshalText(text []byte) (err error) {
	*r, err = ParseCeiling(strings.Split(string(text), ","))
	return err
}

func (r *Rules) add(p pattern) {
	if !slices.Contains(r.patterns, p) {
		r.patterns = append(r.patterns, p)
	}
}

// Empty reports whether no host may be reached.
func (r Rules) Empty() bool { return len(r.patterns) == 0 }

// Patterns returns the patterns as text.
func (r Rules) Patterns() []string {
	texts := make([]string, len(r.patterns))
	for i, p := range r.patterns {
		texts[i] = p.String()
	}
	return texts
}

// Allows reports whether a host may be reached on a port. The host may have upper-case letters and a final dot. It is
// never an IP address, a single label or a name of a private network: these are not allowed, whatever the patterns.
func (r Rules) Allows(host string, port int) bool {
	name := lowerASCII(strings.TrimSuffix(host, "."))
	if checkName(name) != nil {
		return false
	}
	return slices.ContainsFunc(r.patterns, func(p pattern) bool {
		return slices.Contains(p.ports(), port) && p.matches(name)
	})
}

// Uncovered returns the first pattern of other that allows something that these rules do not; empty if there is none.
func (r Rules) Uncovered(other Rules) string {
	for _, asked := range other.patterns {
		for _, port := range asked.ports() {
			covered := slices.ContainsFunc(r.patterns, func(p pattern) bool {
				return slices.Contains(p.ports(), port) && p.covers(asked)
			})
			if !covered {
				return asked.String()
			}
		}
	}
	return ""
}

func (p pattern) ports() []int {
	if p.port == 0 {
		return defaultPorts
	}
	return []int{p.port}
}

func (p pattern) matches(name string) bool {
	return p.any || p.below && strings.HasSuffix(name, "."+p.name) || !p.below && name == p.name
}

// covers reports whether each name that asked matches is one that p matches.
func (p pattern) covers(asked pattern) bool {
	switch {
	case p.any || asked.any:
		return p.any
	case asked.below:
		return p.below && (asked.name == p.name || p.matches(asked.name))
	default:
		return p.matches(asked.name)
	}
}

func (p pattern) String() string {
	text := p.name
	switch {
	case p.any:
		text = "*"
	case p.below:
		text = "*." + p.name
	}
	if p.port != 0 {
		text += ":" + strconv.Itoa(p.port)
	}
	return text
}

func parsePattern(text string) (pattern, error) {
	host, port, err := cutPort(text)
	if err != nil {
		return pattern{}, err
	}
	p := pattern{port: port}
	p.name, p.below = strings.CutPrefix(lowerASCII(host), "*.")
	if host == "*" {
		return p, errors.New("is every host: use the mode open")
	}
	return p, checkName(p.name)
}

// lowerASCII leaves all other characters as they are. Unicode has others whose lower case is an ASCII letter, such as
// the Kelvin sign.
func lowerASCII(s string) string {
	lower := []byte(s)
	for i, b := range lower {
		if 'A' <= b && b <= 'Z' {
			lower[i] += 'a' - 'A'
		}
	}
	return string(lower)
}

// cutPort divides host:port; the port is 0 if there is none.
func cutPort(text string) (host string, port int, err error) {
	host, digits, found := strings.Cut(text, ":")
	if !found {
		return host, 0, nil
	}
	port, err = strconv.Atoi(digits)
	if err != nil || port < 1 || port > 65535 || strconv.Itoa(port) != digits {
		return host, 0, errors.New("must have a port from 1 to 65535 after the colon, or no colon")
	}
	return host, port, nil
}

// privateDomains are top-level domains that networks use for themselves, or that the public DNS never has: RFC 6761,
// RFC 6762, RFC 8375, and ICANN's .internal.
var privateDomains = []string{
	"internal", "local", "localhost", "localdomain", "intranet", "private", "corp", "home", "lan", "arpa", "onion", "alt", "invalid",
}

// checkName says why a lower-case name is not that of a host in the public DNS.
func checkName(name string) error {
	if len(name) > maxNameBytes {
		return fmt.Errorf("has %d bytes; at most %d are accepted", len(name), maxNameBytes)
	}
	for _, b := range []byte(name) {
		switch {
		case b >= 0x80:
			return errors.New("must be in ASCII: write an international name in its form with xn--")
		case b == '*':
			return errors.New("must have * only as the whole first label, as in *.example.com")
		}
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return errors.New("must be a name such as api.example.com or *.example.com: no address, scheme, path or space")
		}
	}
	last := labels[len(labels)-1]
	switch {
	case slices.Contains(privateDomains, last):
		return fmt.Errorf("is in .%s, which is not of the public internet", last)
	case last[0] >= '0' && last[0] <= '9':
		return errors.New("must be a name, not an IP address")
	case len(labels) < 2:
		return errors.New("must have at least two labels, as example.com has")
	}
	return nil
}

// validLabel reports whether a lower-case label has 1 to 63 letters, digits and inner hyphens.
func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, b := range []byte(label) {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '-' {
			return false
		}
	}
	return true
}
