package environment

import (
	"fmt"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// Mode says what a sandbox can reach, besides the model.
type Mode string

// The modes.
const (
	None    Mode = ""        // nothing; the API calls it none
	Limited Mode = "limited" // Hosts and, with Packages, the registries
	Open    Mode = "open"    // any public host on the usual ports, and Hosts
)

// Modes are the modes, the narrowest first.
var Modes = []Mode{None, Limited, Open}

// Network says which hosts a sandbox can reach. The zero value allows none.
type Network struct {
	Mode     Mode     `firestore:"mode,omitempty"`
	Hosts    []string `firestore:"hosts,omitempty"` // patterns: see ParsePatterns
	Packages bool     `firestore:"packages,omitempty"`
}

// MaxHosts bounds the patterns of an environment.
const MaxHosts = 100

// Rules returns the rules that allow what the network allows. A pattern that cannot be read allows nothing: Check
// finds it.
func (n Network) Rules() Rules {
	var r Rules
	switch n.Mode {
	case Open:
		r.patterns = append(r.patterns, pattern{any: true})
	case Limited:
		if n.Packages {
			r = PackageHosts()
		}
	case None:
		return r
	default:
		return r
	}
	for _, text := range n.Hosts {
		if p, err := parsePattern(text); err == nil {
			r.patterns = append(r.patterns, p)
		}
	}
	return r
}

// Normalize writes the hosts in lower case, each once.
func (n Network) Normalize() Network {
	var hosts []string
	for _, text := range n.Hosts {
		if p, err := parsePattern(text); err == nil {
			text = p.String()
		}
		if !slices.Contains(hosts, text) {
			hosts = append(hosts, text)
		}
	}
	n.Hosts = hosts
	return n
}

// Check returns what is wrong with the network and the variables, whatever the operator allows.
func (e Environment) Check() []agent.Problem {
	problems := e.Network.check()
	variables := agent.CheckEnv("variables", e.Variables)
	if size := e.variablesSize(); size > MaxVariablesBytes && len(variables) == 0 {
		variables = append(variables, agent.Problem{Field: "variables",
			Detail: fmt.Sprintf("have %d bytes together; at most %d are accepted", size, MaxVariablesBytes)})
	}
	return append(problems, variables...)
}

func (e Environment) variablesSize() int {
	size := 0
	for name, value := range e.Variables {
		size += len(name) + len(value)
	}
	return size
}

func (n Network) check() []agent.Problem {
	var problems []agent.Problem
	add := func(field, detail string) { problems = append(problems, agent.Problem{Field: field, Detail: detail}) }
	if !slices.Contains(Modes, n.Mode) {
		add("network.mode", "must be none, limited or open")
	}
	if n.Mode == None && len(n.Hosts) > 0 {
		add("network.hosts", "needs the mode limited or open")
	}
	if n.Mode == None && n.Packages {
		add("network.packages", "needs the mode limited or open")
	}
	if len(n.Hosts) > MaxHosts {
		add("network.hosts", fmt.Sprintf("has %d hosts; at most %d are accepted", len(n.Hosts), MaxHosts))
		return problems
	}
	for i, text := range n.Hosts {
		if _, err := parsePattern(text); err != nil {
			add(fmt.Sprintf("network.hosts.%d", i), err.Error())
		}
	}
	return problems
}

// CheckCeiling returns what a network asks for that the operator does not allow. The ceiling is the operator's list.
func (n Network) CheckCeiling(ceiling Rules) []agent.Problem {
	var problems []agent.Problem
	add := func(field string, asked Rules) {
		if p := ceiling.Uncovered(asked); p != "" {
			problems = append(problems, agent.Problem{Field: field, Detail: p + " is not allowed by the operator, who allows " + ceiling.summary()})
		}
	}
	if n.Mode == Open {
		add("network.mode", Rules{patterns: []pattern{{any: true}}})
	}
	if n.Packages && n.Mode == Limited {
		add("network.packages", PackageHosts())
	}
	for i, text := range n.Hosts {
		if p, err := parsePattern(text); err == nil {
			add(fmt.Sprintf("network.hosts.%d", i), Rules{patterns: []pattern{p}})
		}
	}
	return problems
}

// maxSummary is how many patterns an error names.
const maxSummary = 20

// summary names the patterns for people.
func (r Rules) summary() string {
	switch n := len(r.patterns); {
	case n == 0:
		return "no hosts (AIRLOCK_EGRESS_HOSTS)"
	case n > maxSummary:
		return fmt.Sprintf("%s and %d more (AIRLOCK_EGRESS_HOSTS)", strings.Join(r.Patterns()[:maxSummary], ", "), n-maxSummary)
	default:
		return strings.Join(r.Patterns(), ", ") + " (AIRLOCK_EGRESS_HOSTS)"
	}
}
