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
	nameForm     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	targetForm   = regexp.MustCompile(`^/[A-Za-z0-9._~!$&'()*+,;=:@/?-]*$`)
)

// checker collects what is wrong, in the order of the file.
type checker struct{ found mistakes }

func (c *checker) when(bad bool, at position, format string, args ...any) {
	if bad {
		c.found = append(c.found, fmt.Sprintf("line %d: %s", at.line(), fmt.Sprintf(format, args...)))
	}
}

func check(catalog Catalog, at position) mistakes {
	var c checker
	c.when(len(catalog.Runtimes) == 0, at, "there are no runtimes")
	seen := map[string]bool{}
	for i, r := range catalog.Runtimes {
		here := at.at("runtimes", i)
		c.runtime(r, here)
		c.when(seen[r.Name], here.at("name"), "a runtime %q stands above", r.Name)
		seen[r.Name] = true
	}
	return c.found
}

func (c *checker) runtime(r Runtime, at position) {
	c.when(!nameForm.MatchString(r.Name), at.at("name"), "name must be small letters, digits and dashes, at most 63")
	c.when(strings.TrimSpace(r.Image) == "", at.at("image"), "image is missing")
	c.when(len(r.Argv) == 0 || r.Argv[0] == "", at.at("argv"), "argv must name a program")
	for i, arg := range r.Argv {
		c.when(strings.ContainsRune(arg, 0), at.at("argv", i), "argv must not hold a NUL character")
		c.when(strings.Contains(arg, ModelPlace) && len(r.Models) == 0, at.at("argv", i), "%s stands for a model, but there are no models", ModelPlace)
	}
	for name, value := range r.Env {
		c.when(!variableForm.MatchString(name), at.at("env", name), "%q is not the name of a variable", name)
		c.when(strings.ContainsRune(value, 0), at.at("env", name), "%s must not hold a NUL character", name)
	}
	for i, name := range r.ModelEnv {
		c.when(!variableForm.MatchString(name), at.at("modelEnv", i), "%q is not the name of a variable", name)
	}
	c.when(r.Instructions != "" && !inSandbox(r.Instructions), at.at("instructions"), "instructions must be a clean path below /workspace or /home/agent")
	for i, model := range r.Models {
		c.when(strings.TrimSpace(model) == "" || slices.Contains(r.Models[:i], model), at.at("models", i), "models must be different names")
	}
	c.contract(r, at)
	c.limits(r, at)
	if r.Egress != nil {
		c.when(len(r.Models) == 0, at.at("egress"), "a way out leads to a model; name it in models")
		c.egress(*r.Egress, at.at("egress"))
	}
}

func (c *checker) contract(r Runtime, at position) {
	switch r.Contract {
	case StreamJSON:
		c.when(r.Output != "", at.at("output"), "output is of the contract %s only", Command)
		c.when(r.Instructions != "", at.at("instructions"), "instructions is of the contract %s only", Command)
		c.when(r.MaxTurns < 1 || r.MaxTurns > maxTurns, at.at("maxTurns"), "maxTurns must be from 1 to %d", maxTurns)
	case Command:
		c.when(r.Output != "" && r.Output != Text && r.Output != JSON, at.at("output"), "output must be %s or %s", Text, JSON)
		c.when(r.MaxTurns != 0, at.at("maxTurns"), "maxTurns is of the contract %s only", StreamJSON)
	default:
		c.when(true, at.at("contract"), "contract must be %s or %s", StreamJSON, Command)
	}
}

func (c *checker) limits(r Runtime, at position) {
	limits, here := r.Limits, at.at("limits")
	c.when(limits.Memory != 0 && limits.Memory < minMemory, here.at("memory"), "memory must be at least 64MiB")
	c.when(limits.Output > maxOutput, here.at("output"), "output must be at most 64MiB")
	c.when(limits.CPUs < 0 || limits.CPUs > 1024, here.at("cpus"), "cpus must be from 0 to 1024")
	c.when(limits.PIDs < 0 || limits.PIDs > 1<<20, here.at("pids"), "pids must be from 0 to %d", 1<<20)
	d, quiet := time.Duration(r.MaxTimeout), time.Duration(r.Quiet)
	c.when(quiet != 0 && quiet < execution.MinTimeout, at.at("quiet"), "quiet must be at least %s", execution.MinTimeout)
	c.when(d != 0 && (d < execution.MinTimeout || d > execution.MaxTimeout), at.at("maxTimeout"),
		"maxTimeout must be from %s to %s", execution.MinTimeout, execution.MaxTimeout)
}

// inSandbox says whether a file may be laid down there.
func inSandbox(file string) bool {
	return path.Clean(file) == file && (strings.HasPrefix(file, "/workspace/") || strings.HasPrefix(file, "/home/agent/"))
}

// methods are what a route may use. CONNECT is none: the gateway is no proxy.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// kept are headers that the gateway writes itself, or that mean something to a
// connection rather than to the model.
var kept = []string{
	"Authorization", "Connection", "Content-Encoding", "Content-Length", "Cookie", "Expect", "Host", "Keep-Alive",
	"Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "X-Api-Key",
}

func (c *checker) egress(e Egress, at position) {
	switch e.API {
	case "", Messages:
	case Responses:
		c.when(e.Upstream == nil, at.at("api"), "the API %s needs an upstream", Responses)
	default:
		c.when(true, at.at("api"), "api must be %s or %s", Messages, Responses)
	}
	if u := e.Upstream; u != nil {
		here := at.at("upstream")
		parsed, err := url.Parse(u.URL)
		c.when(err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http", here.at("url"), "url must be an http or https URL")
		c.when(!variableForm.MatchString(u.KeyEnv), here.at("keyEnv"), "keyEnv must name the variable that holds the key")
	}
	for model, price := range e.Prices {
		c.when(!(price.Input >= 0 && price.Output >= 0), at.at("prices", model), "prices cannot be negative")
	}
	c.when(len(e.Routes) == 0, at.at("routes"), "a way out needs routes")
	for i, route := range e.Routes {
		here := at.at("routes", i)
		if route.Method == "" {
			continue // could not be read, which was said
		}
		c.when(!slices.Contains(methods, route.Method), here, "the method must be one of %s", strings.Join(methods, ", "))
		c.when(!targetForm.MatchString(route.Target) || strings.Contains(route.Target, "//") || strings.Contains(route.Target, ".."), here,
			"%q must be a plain path, with a query if need be, and neither %%, .. nor //", route.Target)
	}
	for i, name := range e.Headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		c.when(slices.Contains(kept, canonical) || strings.ContainsAny(name, " :\r\n") || name == "", at.at("headers", i),
			"the header %q is the gateway's or the connection's", name)
	}
}
