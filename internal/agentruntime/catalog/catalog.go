// Package catalog reads the file in which an operator declares the runtimes. A YAML document comes in, and a validated
// Catalog or the list of all its errors goes out. The package starts nothing and reads no keys; package agentruntime
// turns an entry into a Runtime. docs/runtimes.md describes every field.
package catalog

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// Catalog is the content of one file of runtimes. Parse and Load return only validated catalogs.
type Catalog struct {
	Runtimes []Runtime `yaml:"runtimes"`
}

// Names lists the names of the runtimes in the order of the file.
func (c Catalog) Names() []string {
	names := make([]string, len(c.Runtimes))
	for i, r := range c.Runtimes {
		names[i] = r.Name
	}
	return names
}

// KeyVariables lists the environment variables that hold the keys of the runtimes' upstreams.
func (c Catalog) KeyVariables() (names []string) {
	for _, r := range c.Runtimes {
		if name := r.KeyEnv(); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Runtime declares one kind of agent.
type Runtime struct {
	Name     string   `yaml:"name"`
	Image    string   `yaml:"image"` // must contain sandbox-init at /sandbox-init
	Contract Contract `yaml:"contract"`

	// Argv is the program and its arguments. The contract may append arguments. ModelPlaceholder in an argument is
	// replaced with the model.
	Argv     []string          `yaml:"argv"`
	Env      map[string]string `yaml:"env"`
	ModelEnv []string          `yaml:"modelEnv"` // names of variables that are set to the model

	// InstructionsPath is the absolute path of the file with the agent's instructions, for the command contract.
	// Default: DefaultInstructionsPath.
	InstructionsPath string `yaml:"instructionsPath"`

	Output   Output   `yaml:"output"`   // command contract only; default: Text
	MaxTurns int      `yaml:"maxTurns"` // stream-json contract only: requests to the model in one job
	Models   []string `yaml:"models"`   // models that a task may choose; the first is the default; empty: no model

	// Settings are the settings of agents that the program follows. The API rejects agents with others. Default: all that
	// the contract can pass on.
	Settings []agent.Setting `yaml:"settings"`

	Limits      Limits   `yaml:"limits"`
	MaxTimeout  Duration `yaml:"maxTimeout"`  // upper bound for the time-out of a task; 0: no bound
	IdleTimeout Duration `yaml:"idleTimeout"` // a job that writes nothing for this long is stopped; 0: no bound
	// SettleTime is for StreamJSON. An agent that has printed a result, and is then silent and calls no model for so long,
	// is ended with that result: it has left a program running. 0: DefaultSettleTime.
	SettleTime Duration `yaml:"settleTime"`
	// StartAhead means that the agent may be started before it has a job: it then waits for its standard input, which it
	// reads before anything else that belongs to a job.
	StartAhead bool `yaml:"startAhead"`

	// Conversation is for Command; nil: the program takes part in no conversation.
	Conversation *Conversation `yaml:"conversation"`

	Egress *Egress `yaml:"egress"` // nil: the sandbox has no egress
}

// ModelPlaceholder stands for the task's model in Argv. The model is one of Models, so a tenant cannot put other text
// on the command line.
const ModelPlaceholder = "{model}"

// DefaultSettleTime is longer than an agent needs after the end of a program in its background.
const DefaultSettleTime = 30 * time.Second

// DefaultInstructionsPath is the path of the instructions if the runtime does not set one.
const DefaultInstructionsPath = "/home/agent/.airlock/instructions.md"

// Contract defines how an agent is called and what it prints.
type Contract string

// The contracts.
const (
	StreamJSON Contract = "stream-json" // the interface of the Claude Code CLI
	Command    Contract = "command"     // input on stdin, result on stdout, exit code 0
)

// Output is the format of what a command prints.
type Output string

// The output formats.
const (
	Text Output = "text"
	JSON Output = "json" // one document, see package strictjson
)

// Limits bound one job. A zero field means the sandbox's default.
type Limits struct {
	Memory Size    `yaml:"memory"`
	CPUs   float64 `yaml:"cpus"`
	PIDs   int64   `yaml:"pids"`
	Output Size    `yaml:"output"` // bytes of standard output that are stored
}

// Egress declares which requests the gateway forwards for a runtime.
type Egress struct {
	API      API       `yaml:"api"`      // default: Messages
	Upstream *Upstream `yaml:"upstream"` // nil: the executor's ANTHROPIC_* variables

	Routes  []Route  `yaml:"routes"`
	Betas   []string `yaml:"betas"`   // values of the header anthropic-beta that the gateway forwards
	Headers []string `yaml:"headers"` // headers that the gateway forwards unchanged, besides its own list

	// Prices are the prices of models that the gateway's own table does not have. A model without a price counts as
	// free, and the gateway denies its calls if the execution has a budget in USD.
	Prices map[string]Price `yaml:"prices"`
}

// API names the HTTP API of an upstream. The values are those of gateway.API; this package imports no adapter.
type API string

// The APIs.
const (
	Messages  API = "messages"  // Anthropic's
	Responses API = "responses" // OpenAI's
)

// Upstream is the server of a model. A file of runtimes names the variable that holds the key, and never the key
// itself.
type Upstream struct {
	URL          string `yaml:"url"`
	KeyEnv       string `yaml:"keyEnv"`       // the executor's environment variable that holds the key
	CAFile       string `yaml:"caFile"`       // certificate authorities in PEM, in addition to the system's
	AllowPrivate bool   `yaml:"allowPrivate"` // the name may resolve to an address that is not public
}

// Price is in USD per million tokens.
type Price struct {
	Input  float64 `yaml:"input"`
	Output float64 `yaml:"output"`
}

// Route is one exact request line, such as "POST /v1/messages?beta=true". In the file, "local" in front of it means
// that the gateway answers the request itself.
type Route struct {
	Method string
	Target string
	Local  bool
}

// Size is in bytes. The file has text such as "512MiB".
type Size int64

// Duration is a time.Duration. The file has text such as "90s".
type Duration time.Duration

// KeyEnv returns the name of the executor's variable that must hold a key for this runtime; empty: no key is needed.
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

// Capabilities says which settings of an agent the runtime can serve.
func (r Runtime) Capabilities() agent.Capabilities {
	c := agent.Capabilities{Settings: r.Settings, MaxTurns: r.MaxTurns, ReservedEnv: slices.Sorted(maps.Keys(r.Env)), Conversations: r.Converses()}
	if c.Settings == nil {
		c.Settings = r.passable()
	}
	c.ReservedEnv = append(c.ReservedEnv, r.ModelEnv...)
	return c
}

// passable returns the settings that the contract can pass on. A program that prints text cannot answer in JSON.
func (r Runtime) passable() []agent.Setting {
	switch {
	case r.Contract == StreamJSON:
		return agent.AllSettings
	case r.Output == JSON:
		return []agent.Setting{agent.SettingSchema, agent.SettingEnv}
	default:
		return []agent.Setting{agent.SettingEnv}
	}
}

// Environment returns Env as "name=value" strings, sorted, and then the variables that are set to the model.
func (r Runtime) Environment(model string) []string {
	env := make([]string, 0, len(r.Env))
	for name, value := range r.Env {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	for _, name := range r.ModelEnv {
		env = append(env, name+"="+model)
	}
	return env
}

// ModelVariables returns the variables that are set to the model.
func (r Runtime) ModelVariables(model string) map[string]string {
	variables := map[string]string{}
	for _, name := range r.ModelEnv {
		variables[name] = model
	}
	return variables
}

// DefaultModel returns the first of the models; empty: the runtime has none.
func (r Runtime) DefaultModel() string {
	if len(r.Models) == 0 {
		return ""
	}
	return r.Models[0]
}

// Command returns Argv with the model in place of ModelPlaceholder.
func (r Runtime) Command(model string) []string {
	argv := make([]string, len(r.Argv))
	for i, arg := range r.Argv {
		argv[i] = strings.ReplaceAll(arg, ModelPlaceholder, model)
	}
	return argv
}
