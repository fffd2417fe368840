package catalog

import (
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Bounds of the values in a file. Sizes are in bytes.
const (
	minMemory = 64 << 20
	maxOutput = 64 << 20 // the sandbox's own upper bound for output
	maxTurns  = 1000
)

var (
	namePattern     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	targetPattern   = regexp.MustCompile(`^/[A-Za-z0-9._~!$&'()*+,;=:@/?-]*$`)
)

// validator collects the mistakes in a catalog.
type validator struct{ errs validationErrors }

func (v *validator) rejectIf(invalid bool, pos position, format string, args ...any) {
	if invalid {
		v.errs = append(v.errs, fmt.Sprintf("line %d: %s", pos.line(), fmt.Sprintf(format, args...)))
	}
}

func validate(catalog Catalog, pos position) validationErrors {
	var v validator
	v.rejectIf(len(catalog.Runtimes) == 0, pos, "the file declares no runtimes")
	seen := map[string]bool{}
	for i, r := range catalog.Runtimes {
		runtimePos := pos.lookup("runtimes", i)
		v.runtime(r, runtimePos)
		v.rejectIf(seen[r.Name], runtimePos.lookup("name"), "the name %q is used by an earlier runtime", r.Name)
		seen[r.Name] = true
	}
	return v.errs
}

func (v *validator) runtime(r Runtime, pos position) {
	v.rejectIf(!namePattern.MatchString(r.Name), pos.lookup("name"), "name must be 1 to 63 lower-case letters, digits and dashes")
	v.rejectIf(strings.TrimSpace(r.Image) == "", pos.lookup("image"), "image is missing")
	v.argv(r.Argv, r.Models, pos.lookup("argv"))
	for name, value := range r.Env {
		v.rejectIf(!variablePattern.MatchString(name), pos.lookup("env", name), "%q is not a valid variable name", name)
		v.rejectIf(strings.ContainsRune(value, 0), pos.lookup("env", name), "the value of %s must not contain a NUL character", name)
	}
	for i, name := range r.ModelEnv {
		v.rejectIf(!variablePattern.MatchString(name), pos.lookup("modelEnv", i), "%q is not a valid variable name", name)
	}
	v.rejectIf(r.InstructionsPath != "" && !isSandboxPath(r.InstructionsPath), pos.lookup("instructionsPath"), "instructionsPath must be a clean path below /workspace or /home/agent")
	for i, model := range r.Models {
		v.rejectIf(strings.TrimSpace(model) == "" || slices.Contains(r.Models[:i], model), pos.lookup("models", i), "models must be distinct, non-empty names")
	}
	for i, setting := range r.Settings {
		v.rejectIf(!slices.Contains(r.passable(), setting), pos.lookup("settings", i), "settings must be some of %v for this contract and output", r.passable())
	}
	v.contract(r, pos)
	v.limits(r, pos)
	v.conversation(r, pos.lookup("conversation"))
	if r.Egress != nil {
		v.rejectIf(len(r.Models) == 0, pos.lookup("egress"), "egress needs at least one model in models")
		v.egress(*r.Egress, pos.lookup("egress"))
	}
}

func (v *validator) argv(argv, models []string, pos position) {
	v.rejectIf(len(argv) == 0 || argv[0] == "", pos, "argv must name a program")
	for i, arg := range argv {
		v.rejectIf(strings.ContainsRune(arg, 0), pos.lookup(i), "argv must not contain a NUL character")
		v.rejectIf(strings.Contains(arg, ModelPlaceholder) && len(models) == 0, pos.lookup(i), "argv uses %s, but models is empty", ModelPlaceholder)
	}
}

func (v *validator) contract(r Runtime, pos position) {
	switch r.Contract {
	case StreamJSON:
		v.rejectIf(r.Output != "", pos.lookup("output"), "output is for the contract %s only", Command)
		v.rejectIf(r.InstructionsPath != "", pos.lookup("instructionsPath"), "instructionsPath is for the contract %s only", Command)
		v.rejectIf(r.MaxTurns < 1 || r.MaxTurns > maxTurns, pos.lookup("maxTurns"), "maxTurns must be from 1 to %d", maxTurns)
	case Command:
		v.rejectIf(r.Output != "" && r.Output != Text && r.Output != JSON, pos.lookup("output"), "output must be %s or %s", Text, JSON)
		v.rejectIf(r.MaxTurns != 0, pos.lookup("maxTurns"), "maxTurns is for the contract %s only", StreamJSON)
	default:
		v.rejectIf(true, pos.lookup("contract"), "contract must be %s or %s", StreamJSON, Command)
	}
}

func (v *validator) limits(r Runtime, pos position) {
	limits, limitsPos := r.Limits, pos.lookup("limits")
	v.rejectIf(limits.Memory != 0 && limits.Memory < minMemory, limitsPos.lookup("memory"), "memory must be at least 64MiB")
	v.rejectIf(limits.Output > maxOutput, limitsPos.lookup("output"), "output must be at most 64MiB")
	v.rejectIf(limits.CPUs < 0 || limits.CPUs > 1024, limitsPos.lookup("cpus"), "cpus must be from 0 to 1024")
	v.rejectIf(limits.PIDs < 0 || limits.PIDs > 1<<20, limitsPos.lookup("pids"), "pids must be from 0 to %d", 1<<20)
	settleTime := time.Duration(r.SettleTime)
	v.rejectIf(settleTime != 0 && r.Contract != StreamJSON, pos.lookup("settleTime"), "settleTime is for the contract %s only", StreamJSON)
	v.rejectIf(settleTime != 0 && settleTime < execution.MinTimeout, pos.lookup("settleTime"), "settleTime must be at least %s", execution.MinTimeout)
	maxTimeout, idleTimeout := time.Duration(r.MaxTimeout), time.Duration(r.IdleTimeout)
	v.rejectIf(idleTimeout != 0 && idleTimeout < execution.MinTimeout, pos.lookup("idleTimeout"), "idleTimeout must be at least %s", execution.MinTimeout)
	v.rejectIf(maxTimeout != 0 && (maxTimeout < execution.MinTimeout || maxTimeout > execution.MaxTimeout), pos.lookup("maxTimeout"),
		"maxTimeout must be from %s to %s", execution.MinTimeout, execution.MaxTimeout)
}

// isSandboxPath reports whether a file may be created at that path in the sandbox.
func isSandboxPath(file string) bool {
	return path.Clean(file) == file && (strings.HasPrefix(file, "/workspace/") || strings.HasPrefix(file, "/home/agent/"))
}

// allowedMethods are the methods that a route may use. CONNECT is not among them: the gateway is not a proxy.
var allowedMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// reservedHeaders are the headers that the gateway sets itself and those that control a connection.
var reservedHeaders = []string{
	"Authorization", "Connection", "Content-Encoding", "Content-Length", "Cookie", "Expect", "Host", "Keep-Alive",
	"Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "X-Api-Key",
}

func (v *validator) egress(e Egress, pos position) {
	switch e.API {
	case "", Messages:
	case Responses:
		v.rejectIf(e.Upstream == nil, pos.lookup("api"), "the API %s needs an upstream", Responses)
	default:
		v.rejectIf(true, pos.lookup("api"), "api must be %s or %s", Messages, Responses)
	}
	if u := e.Upstream; u != nil {
		here := pos.lookup("upstream")
		parsed, err := url.Parse(u.URL)
		v.rejectIf(err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http", here.lookup("url"), "url must be an http or https URL")
		v.rejectIf(!variablePattern.MatchString(u.KeyEnv), here.lookup("keyEnv"), "keyEnv must be the name of the variable that holds the key")
	}
	for model, price := range e.Prices {
		v.rejectIf(!(price.Input >= 0 && price.Output >= 0), pos.lookup("prices", model), "prices cannot be negative")
	}
	v.rejectIf(len(e.Routes) == 0, pos.lookup("routes"), "egress needs routes")
	for i, route := range e.Routes {
		here := pos.lookup("routes", i)
		if route.Method == "" {
			continue // the decoder has already reported it
		}
		v.rejectIf(!slices.Contains(allowedMethods, route.Method), here, "the method must be one of %s", strings.Join(allowedMethods, ", "))
		v.rejectIf(!targetPattern.MatchString(route.Target) || strings.Contains(route.Target, "//") || strings.Contains(route.Target, ".."), here,
			"%q must be an absolute path with an optional query, without %%, .. and //", route.Target)
	}
	for i, name := range e.Headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		v.rejectIf(slices.Contains(reservedHeaders, canonical) || strings.ContainsAny(name, " :\r\n") || name == "", pos.lookup("headers", i),
			"the header %q is reserved or malformed", name)
	}
}
