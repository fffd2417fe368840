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

// Bounds of what a file may ask for.
const (
	minMemory = 64 << 20
	maxOutput = 64 << 20 // what the sandbox takes in all
	maxTurns  = 1000
)

var (
	namePattern     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	targetPattern   = regexp.MustCompile(`^/[A-Za-z0-9._~!$&'()*+,;=:@/?-]*$`)
)

// checker collects what is wrong, in the order of the file.
type validator struct{ errs validationErrors }

func (c *validator) rejectIf(invalid bool, pos position, format string, args ...any) {
	if invalid {
		c.errs = append(c.errs, fmt.Sprintf("line %d: %s", pos.line(), fmt.Sprintf(format, args...)))
	}
}

func validate(catalog Catalog, pos position) validationErrors {
	var c validator
	c.rejectIf(len(catalog.Runtimes) == 0, pos, "there are no runtimes")
	seen := map[string]bool{}
	for i, r := range catalog.Runtimes {
		runtimePos := pos.lookup("runtimes", i)
		c.runtime(r, runtimePos)
		c.rejectIf(seen[r.Name], runtimePos.lookup("name"), "a runtime %q stands above", r.Name)
		seen[r.Name] = true
	}
	return c.errs
}

func (c *validator) runtime(r Runtime, pos position) {
	c.rejectIf(!namePattern.MatchString(r.Name), pos.lookup("name"), "name must be small letters, digits and dashes, at most 63")
	c.rejectIf(strings.TrimSpace(r.Image) == "", pos.lookup("image"), "image is missing")
	c.rejectIf(len(r.Argv) == 0 || r.Argv[0] == "", pos.lookup("argv"), "argv must name a program")
	for i, arg := range r.Argv {
		c.rejectIf(strings.ContainsRune(arg, 0), pos.lookup("argv", i), "argv must not hold a NUL character")
		c.rejectIf(strings.Contains(arg, ModelPlaceholder) && len(r.Models) == 0, pos.lookup("argv", i), "%s stands for a model, but there are no models", ModelPlaceholder)
	}
	for name, value := range r.Env {
		c.rejectIf(!variablePattern.MatchString(name), pos.lookup("env", name), "%q is not the name of a variable", name)
		c.rejectIf(strings.ContainsRune(value, 0), pos.lookup("env", name), "%s must not hold a NUL character", name)
	}
	for i, name := range r.ModelEnv {
		c.rejectIf(!variablePattern.MatchString(name), pos.lookup("modelEnv", i), "%q is not the name of a variable", name)
	}
	c.rejectIf(r.InstructionsPath != "" && !isSandboxPath(r.InstructionsPath), pos.lookup("instructions"), "instructions must be a clean path below /workspace or /home/agent")
	for i, model := range r.Models {
		c.rejectIf(strings.TrimSpace(model) == "" || slices.Contains(r.Models[:i], model), pos.lookup("models", i), "models must be different names")
	}
	c.contract(r, pos)
	c.limits(r, pos)
	if r.Egress != nil {
		c.rejectIf(len(r.Models) == 0, pos.lookup("egress"), "a way out leads to a model; name it in models")
		c.egress(*r.Egress, pos.lookup("egress"))
	}
}

func (c *validator) contract(r Runtime, pos position) {
	switch r.Contract {
	case StreamJSON:
		c.rejectIf(r.Output != "", pos.lookup("output"), "output is of the contract %s only", Command)
		c.rejectIf(r.InstructionsPath != "", pos.lookup("instructions"), "instructions is of the contract %s only", Command)
		c.rejectIf(r.MaxTurns < 1 || r.MaxTurns > maxTurns, pos.lookup("maxTurns"), "maxTurns must be from 1 to %d", maxTurns)
	case Command:
		c.rejectIf(r.Output != "" && r.Output != Text && r.Output != JSON, pos.lookup("output"), "output must be %s or %s", Text, JSON)
		c.rejectIf(r.MaxTurns != 0, pos.lookup("maxTurns"), "maxTurns is of the contract %s only", StreamJSON)
	default:
		c.rejectIf(true, pos.lookup("contract"), "contract must be %s or %s", StreamJSON, Command)
	}
}

func (c *validator) limits(r Runtime, pos position) {
	limits, limitsPos := r.Limits, pos.lookup("limits")
	c.rejectIf(limits.Memory != 0 && limits.Memory < minMemory, limitsPos.lookup("memory"), "memory must be at least 64MiB")
	c.rejectIf(limits.Output > maxOutput, limitsPos.lookup("output"), "output must be at most 64MiB")
	c.rejectIf(limits.CPUs < 0 || limits.CPUs > 1024, limitsPos.lookup("cpus"), "cpus must be from 0 to 1024")
	c.rejectIf(limits.PIDs < 0 || limits.PIDs > 1<<20, limitsPos.lookup("pids"), "pids must be from 0 to %d", 1<<20)
	maxTimeout, idleTimeout := time.Duration(r.MaxTimeout), time.Duration(r.IdleTimeout)
	c.rejectIf(idleTimeout != 0 && idleTimeout < execution.MinTimeout, pos.lookup("quiet"), "quiet must be at least %s", execution.MinTimeout)
	c.rejectIf(maxTimeout != 0 && (maxTimeout < execution.MinTimeout || maxTimeout > execution.MaxTimeout), pos.lookup("maxTimeout"),
		"maxTimeout must be from %s to %s", execution.MinTimeout, execution.MaxTimeout)
}

// inSandbox says whether a file may be laid down there.
func isSandboxPath(file string) bool {
	return path.Clean(file) == file && (strings.HasPrefix(file, "/workspace/") || strings.HasPrefix(file, "/home/agent/"))
}

// methods are what a route may use. CONNECT is none: the gateway is no proxy.
var allowedMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// kept are headers that the gateway writes itself, or that mean something to a
// connection rather than to the model.
var reservedHeaders = []string{
	"Authorization", "Connection", "Content-Encoding", "Content-Length", "Cookie", "Expect", "Host", "Keep-Alive",
	"Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "X-Api-Key",
}

func (c *validator) egress(e Egress, pos position) {
	switch e.API {
	case "", Messages:
	case Responses:
		c.rejectIf(e.Upstream == nil, pos.lookup("api"), "the API %s needs an upstream", Responses)
	default:
		c.rejectIf(true, pos.lookup("api"), "api must be %s or %s", Messages, Responses)
	}
	if u := e.Upstream; u != nil {
		here := pos.lookup("upstream")
		parsed, err := url.Parse(u.URL)
		c.rejectIf(err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http", here.lookup("url"), "url must be an http or https URL")
		c.rejectIf(!variablePattern.MatchString(u.KeyEnv), here.lookup("keyEnv"), "keyEnv must name the variable that holds the key")
	}
	for model, price := range e.Prices {
		c.rejectIf(!(price.Input >= 0 && price.Output >= 0), pos.lookup("prices", model), "prices cannot be negative")
	}
	c.rejectIf(len(e.Routes) == 0, pos.lookup("routes"), "a way out needs routes")
	for i, route := range e.Routes {
		here := pos.lookup("routes", i)
		if route.Method == "" {
			continue // could not be read, which was said
		}
		c.rejectIf(!slices.Contains(allowedMethods, route.Method), here, "the method must be one of %s", strings.Join(allowedMethods, ", "))
		c.rejectIf(!targetPattern.MatchString(route.Target) || strings.Contains(route.Target, "//") || strings.Contains(route.Target, ".."), here,
			"%q must be a plain path, with a query if need be, and neither %%, .. nor //", route.Target)
	}
	for i, name := range e.Headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		c.rejectIf(slices.Contains(reservedHeaders, canonical) || strings.ContainsAny(name, " :\r\n") || name == "", pos.lookup("headers", i),
			"the header %q is the gateway's or the connection's", name)
	}
}
