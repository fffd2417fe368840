package apiserver

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/promptrules"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/apikey"
)

// Settings are the API's configuration and the content of the files that it names, each read once.
type Settings struct {
	config.API
	// UnknownVariables begin with AIRLOCK_, and no program reads them.
	UnknownVariables []string

	runtimes     []string // their names
	capabilities map[string]agent.Capabilities
	promptRules  promptrules.Rules
	pepper       *apikey.Pepper    // nil unless callers are authenticated by keys
	operatorKey  *auth.OperatorKey // nil: no key is the operator's
}

// Load reads the settings from the environment. It reports everything that is wrong with them at once.
func Load() (Settings, error) {
	c, parseErr := config.LoadAPI()
	runtimes, runtimesErr := catalog.Load(c.RuntimesFile)
	unknown, namesErr := config.CheckNames(os.Environ(), runtimes.KeyVariables()...)
	if runtimesErr != nil {
		runtimesErr = fmt.Errorf("AIRLOCK_RUNTIMES_FILE: %w", runtimesErr)
	}
	s, err := Prepare(c, runtimes)
	s.UnknownVariables = unknown
	return s, errors.Join(parseErr, namesErr, runtimesErr, err)
}

// Prepare checks a configuration and reads the files that it names, besides the runtimes, which the caller has read.
func Prepare(c config.API, runtimes catalog.Catalog) (Settings, error) {
	s := Settings{API: c, runtimes: runtimes.Names(), capabilities: map[string]agent.Capabilities{}}
	for _, r := range runtimes.Runtimes {
		s.capabilities[r.Name] = r.Capabilities()
	}
	errs := []error{s.Validate()}
	if len(s.runtimes) > 0 { // else the caller reports why there are none
		if s.DefaultRuntime == "" {
			s.DefaultRuntime = s.runtimes[0]
		}
		if !slices.Contains(s.runtimes, s.DefaultRuntime) {
			errs = append(errs, fmt.Errorf("AIRLOCK_DEFAULT_RUNTIME must be one of %v, not %q", s.runtimes, s.DefaultRuntime))
		}
	}
	if s.EffectiveAuthMode() == config.AuthKeys {
		pepper, err := s.LoadPepper()
		s.pepper = &pepper
		errs = append(errs, err)
	}
	secret, err := s.LoadOperatorKey()
	errs = append(errs, err)
	if secret != "" {
		if s.operatorKey, err = auth.NewOperatorKey(secret); err != nil {
			errs = append(errs, fmt.Errorf("AIRLOCK_OPERATOR_KEY: %w", err))
		}
	}
	s.OperatorKey = "" // only its hash is needed from now on
	if s.promptRules, err = promptrules.Load(s.PromptRulesFile); err != nil {
		errs = append(errs, fmt.Errorf("AIRLOCK_PROMPT_RULES_FILE: %w", err))
	}
	return s, errors.Join(errs...)
}
