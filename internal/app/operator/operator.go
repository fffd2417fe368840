// Package operator does what an operator does without the API, directly in Firestore: it issues API keys and redrives
// failed executions. Choices of the operator come in; the new key, or a report on each execution, goes
// out. It needs neither the Docker Engine nor blob storage, and it checks no caller: who can reach Firestore is the
// operator.
package operator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

// KeyIssuer issues API keys.
type KeyIssuer struct {
	config.Services
	config.PepperSource
	pepper apikey.Pepper // that of PepperSource
}

// LoadKeyIssuer reads the configuration from the environment. Pub/Sub plays no part in it.
func LoadKeyIssuer() (KeyIssuer, error) {
	c, parseErr := config.Parse[KeyIssuer]()
	_, namesErr := config.CheckNames(os.Environ())
	c, err := NewKeyIssuer(c.Services, c.PepperSource)
	return c, errors.Join(parseErr, namesErr, err)
}

// NewKeyIssuer reads the pepper and reports everything that is wrong with the configuration.
func NewKeyIssuer(services config.Services, source config.PepperSource) (KeyIssuer, error) {
	c := KeyIssuer{Services: services, PepperSource: source}
	var errs []error
	if c.Project == "" && c.FirestoreHost != "" {
		c.Project = config.LocalProject
	}
	if c.Project == "" {
		errs = append(errs, errors.New("GOOGLE_CLOUD_PROJECT is not set (needed unless FIRESTORE_EMULATOR_HOST is)"))
	}
	var err error
	c.pepper, err = c.LoadPepper()
	return c, errors.Join(append(errs, err)...)
}

// KeyRequest describes a new API key.
type KeyRequest struct {
	Tenant   string // need not exist before
	Name     string
	Scopes   []tenant.Scope
	Lifetime time.Duration // 0: no expiry
}

// Issue stores a new key and returns it with its secret.
func (c KeyIssuer) Issue(ctx context.Context, r KeyRequest) (_ apikey.Key, _ apikey.Secret, err error) {
	if !tenant.ValidName(r.Tenant) {
		return apikey.Key{}, "", fmt.Errorf("%q is not a valid tenant name: %s", r.Tenant, tenant.NameRule)
	}
	if len(r.Scopes) == 0 || !tenant.ValidScopes(r.Scopes...) {
		return apikey.Key{}, "", fmt.Errorf("scopes must be among %v, not %v", tenant.AllScopes, r.Scopes)
	}
	s, err := store.Dial(ctx, c.Project, c.FirestoreHost)
	if err != nil {
		return apikey.Key{}, "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	k, secret := apikey.New(c.pepper, r.Tenant, r.Name, r.Scopes)
	return k, secret, s.CreateAPIKey(ctx, &k, r.Lifetime)
}

// Redrive runs failed executions again, after their cause is fixed.
type Redrive struct {
	config.Services
	Codes  []execution.Code // the codes of failure to redrive
	Tenant string           // empty: all tenants
	MaxAge time.Duration    // since the execution finished
	DryRun bool             // only report
}

// redriveCodes are the codes that an execution may have failed with.
var redriveCodes = []execution.Code{
	execution.CodeAgentError, execution.CodeInvalidResult, execution.CodeModelError, execution.CodeOutOfMemory, execution.CodeOutputLimit,
	execution.CodeBudgetExceeded, execution.CodeTimedOut, execution.CodeQueueTimeout, execution.CodeCanceled, execution.CodeInvalidTask,
	execution.CodeModelNotAllowed, execution.CodeAttemptsExhausted, execution.CodeNoExecutor, execution.CodeDeadLettered,
}

// CheckSelection reports everything that is wrong with what selects the executions. Firestore would only find none.
func (r Redrive) CheckSelection() error {
	var errs []error
	if len(r.Codes) == 0 {
		errs = append(errs, errors.New("no failure code is set"))
	}
	for _, code := range r.Codes {
		if !slices.Contains(redriveCodes, code) {
			errs = append(errs, fmt.Errorf("%q is not a failure code: they are %v", code, redriveCodes))
		}
	}
	if r.Tenant != "" && !tenant.ValidName(r.Tenant) {
		errs = append(errs, fmt.Errorf("%q is not a valid tenant name: %s", r.Tenant, tenant.NameRule))
	}
	if r.MaxAge <= 0 {
		errs = append(errs, fmt.Errorf("the time since the end must be greater than 0, not %s", r.MaxAge))
	}
	return errors.Join(errs...)
}

// LoadRedrive reads the address of Firestore from the environment.
func LoadRedrive() (Redrive, error) {
	r, err := config.Parse[Redrive]()
	_, namesErr := config.CheckNames(os.Environ())
	if r.Project == "" && r.FirestoreHost != "" && r.PubSubHost != "" {
		r.Project = config.LocalProject
	}
	return r, errors.Join(err, namesErr, r.Validate())
}

// wakeTimeout bounds how long Run tells the dispatchers of one tenant.
const wakeTimeout = 10 * time.Second

// Run creates a new execution for each failed one and reports it: the ID of the new execution (empty in a dry run), or
// why there is none. It may be run again, also after an interruption: an execution is redriven at most once.
//
// The dispatchers publish the new executions, so limits and shares of the tenants hold.
func (r Redrive) Run(ctx context.Context, onResult func(original execution.Ref, retryID string, err error)) (err error) {
	s, err := store.Dial(ctx, r.Project, r.FirestoreHost)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	failed, err := s.FailedExecutions(ctx, r.Codes, r.MaxAge)
	if err != nil {
		return err
	}
	redriven := map[string]bool{} // tenants
	defer func() { err = errors.Join(err, wakeDispatchers(context.WithoutCancel(ctx), s, redriven)) }()
	for _, ref := range failed {
		if r.Tenant != "" && ref.Tenant != r.Tenant {
			continue
		}
		if r.DryRun {
			onResult(ref, "", nil)
			continue
		}
		change, err := s.Redrive(ctx, ref, awaitDispatcher)
		if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			redriven[ref.Tenant] = true // it may have been created
			return err
		}
		onResult(ref, change.Execution.ID, err)
		if err == nil {
			redriven[ref.Tenant] = true
		}
	}
	return nil
}

func awaitDispatcher(*tenant.Tenant, *execution.Execution) (store.Placement, error) {
	return store.WakeDispatcher, nil
}

// wakeDispatchers tells the dispatchers of tenants that executions wait. Without that, the janitor finds them when they
// are due.
func wakeDispatchers(ctx context.Context, s *store.Store, tenants map[string]bool) error {
	if len(tenants) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()
	f, err := s.ReadFleet(ctx)
	for name := range tenants {
		if err == nil {
			err = s.MarkWaiting(ctx, name, execution.LaneInteractive, f.Owner(name))
		}
	}
	if err != nil {
		return fmt.Errorf("wake the dispatchers; what was redriven starts some minutes later: %w", err)
	}
	return nil
}
