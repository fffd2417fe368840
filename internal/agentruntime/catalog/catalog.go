// Package catalog reads which runtimes there are: what an operator has to say
// about a kind of agent, in YAML, and nothing that only code could say.
// docs/runtimes.md describes every field.
package catalog

import (
	"slices"
	"strings"
	"time"
)

// Catalog is one file of runtimes, checked.
type Catalog struct {
	Runtimes []Runtime `yaml:"runtimes"`
}

// Names lists the runtimes in their order.
func (c Catalog) Names() []string {
	names := make([]string, len(c.Runtimes))
	for i, r := range c.Runtimes {
		names[i] = r.Name
	}
	return names
}

// Runtime is one kind of agent.
type Runtime struct {
	Name     string   `yaml:"name"`
	Image    string   `yaml:"image"` // has sandbox-init at /sandbox-init
	Contract Contract `yaml:"contract"`

	// Argv is the program and its arguments; the contract may add to them.
	// ModelPlace in an argument stands for the model.
	Argv     []string          `yaml:"argv"`
	Env      map[string]string `yaml:"env"`
	ModelEnv []string          `yaml:"modelEnv"` // variables that are set to the model

	// Instructions is where a command finds the agent's instructions; absolute.
	// Default: DefaultInstructions.
	InstructionsPath string `yaml:"instructions"`

	Output   Output   `yaml:"output"`   // of the command contract
	MaxTurns int      `yaml:"maxTurns"` // of the stream-json contract: requests to the model in one job
	Models   []string `yaml:"models"`   // what a task may name, the first by default; none: there is no model

	Limits      Limits   `yaml:"limits"`
	MaxTimeout  Duration `yaml:"maxTimeout"` // over which no task's goes; 0: no such bound
	IdleTimeout Duration `yaml:"quiet"`      // a job that writes nothing for so long is ended; 0: it may

	Egress *Egress `yaml:"egress"` // nil: no way out of the sandbox
}

// ModelPlace stands for the task's model in Argv. The model is one of Models, so
// nothing that a tenant made up gets there.
const ModelPlaceholder = "{model}"

// DefaultInstructions is where instructions are unless the runtime says other.
const DefaultInstructionsPath = "/home/agent/.airlock/instructions.md"

// Contract is how an agent is called and what it prints.
type Contract string

// The contracts there are.
const (
	StreamJSON Contract = "stream-json" // that of the Claude Code CLI
	Command    Contract = "command"     // input on stdin, result on stdout, exit code 0
)

// Output says what a command prints.
type Output string

// The outputs there are.
const (
	Text Output = "text"
	JSON Output = "json" // one document, see package strictjson
)

// Limits bound one job; zero fields mean the sandbox's defaults.
type Limits struct {
	Memory Size    `yaml:"memory"`
	CPUs   float64 `yaml:"cpus"`
	PIDs   int64   `yaml:"pids"`
	Output Size    `yaml:"output"` // bytes of standard output kept
}

// Egress is what the gateway lets through for a runtime.
type Egress struct {
	API      API       `yaml:"api"`      // default: Messages
	Upstream *Upstream `yaml:"upstream"` // nil: what the executor's ANTHROPIC_... variables say

	Routes  []Route  `yaml:"routes"`
	Betas   []string `yaml:"betas"`   // values of anthropic-beta that pass
	Headers []string `yaml:"headers"` // that pass as they are, besides what the gateway always passes

	// Prices are of models that the gateway has no price for. Without one, a model
	// counts as free, and a budget in money lets none of its calls through.
	Prices map[string]Price `yaml:"prices"`
}

// API is the language of a model's upstream.
type API string

// The APIs there are.
const (
	Messages  API = "messages"  // Anthropic's
	Responses API = "responses" // OpenAI's
)

// Upstream is where a model is. The key itself is never in a file of runtimes.
type Upstream struct {
	URL          string `yaml:"url"`
	KeyEnv       string `yaml:"keyEnv"`       // variable of the executor that holds the key
	CAFile       string `yaml:"caFile"`       // certificate authorities in PEM, besides the system's
	AllowPrivate bool   `yaml:"allowPrivate"` // the name may resolve to an address that is not public
}

// Price is in USD for a million tokens.
type Price struct {
	Input  float64 `yaml:"input"`
	Output float64 `yaml:"output"`
}

// Route is one request line, to the letter: "POST /v1/messages?beta=true". A
// "local" before it means that the gateway answers it itself.
type Route struct {
	Method string
	Target string
	Local  bool
}

// Size is in bytes; written as "512MiB".
type Size int64

// Duration is written as "90s".
type Duration time.Duration

// KeyEnv is the executor's variable that has to be set for the runtime; empty: none.
func (r Runtime) KeyEnv() string {
	switch {
	case r.Egress == nil:
		return ""
	case r.Egress.Upstream == nil:
		return "ANTHROPIC_API_KEY"
	default:
		return r.Egress.Upstream.KeyEnv
	}
}

// Environment is Env as a process is given it, in the order of the names.
func (r Runtime) Environment() []string {
	env := make([]string, 0, len(r.Env))
	for name, value := range r.Env {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// Command is Argv for a model.
func (r Runtime) Command(model string) []string {
	argv := make([]string, len(r.Argv))
	for i, arg := range r.Argv {
		argv[i] = strings.ReplaceAll(arg, ModelPlaceholder, model)
	}
	return argv
}
