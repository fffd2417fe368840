package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// EnvironmentStore stores environments. UpdateEnvironment may call edit again; if edit changes something, it makes a
// version. Environments lists the newest first. EnvironmentVersions lists the versions before one, the newest first; 0
// means all. EnvironmentVersion also returns versions of a deleted environment. All but CreateEnvironment and
// Environments return a *store.NotFoundError for a missing environment or version.
type EnvironmentStore interface { //nolint:dupl // it has the shape of AgentStore, with other types
	CreateEnvironment(ctx context.Context, e *environment.Environment, key *store.IdempotencyKey) error
	Environment(ctx context.Context, tenant, environmentID string) (environment.Environment, error)
	UpdateEnvironment(
		ctx context.Context, tenant, environmentID string, edit func(environment.Environment) (environment.Environment, error),
	) (environment.Environment, error)
	DeleteEnvironment(ctx context.Context, tenant, environmentID string) error
	Environments(ctx context.Context, tenant string, p store.Page) ([]environment.Environment, error)
	EnvironmentVersion(ctx context.Context, tenant, environmentID string, version int) (environment.Environment, error)
	EnvironmentVersions(ctx context.Context, tenant, environmentID string, before, limit int) ([]agent.VersionInfo, error)
}

// CreateEnvironment stores an environment.
func (s *Server) CreateEnvironment(c echo.Context, _ contract.CreateEnvironmentParams) error {
	var body contract.CreateEnvironment
	if err := readJSON(c, &body); err != nil {
		return err
	}
	e, err := s.newEnvironment(tenantID(c), body)
	if err != nil {
		return err
	}
	key := idempotencyKey(c)
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.stores.Environments.CreateEnvironment(ctx, &e, key); err != nil {
		return err
	}
	return s.respondCreated(c, store.Created{Environment: &e})
}

// newEnvironment checks all fields and reports every wrong one, also hosts that the operator does not allow.
func (s *Server) newEnvironment(tenant string, body contract.CreateEnvironment) (environment.Environment, error) {
	fieldErrors := textField{"name", environment.MaxNameBytes, true}.check(body.Name)
	fieldErrors = append(fieldErrors, textField{"description", environment.MaxDescriptionBytes, false}.check(body.Description)...)
	e := environment.Environment{
		Tenant: tenant, Name: body.Name, Description: body.Description, Variables: orNil(body.Variables),
		Network: environment.Network{Mode: readNetworkMode(body.Network.Mode), Hosts: body.Network.Hosts, Packages: body.Network.Packages},
	}
	for _, p := range append(e.Check(), e.Network.CheckCeiling(s.config.EgressHosts)...) {
		fieldErrors = append(fieldErrors, fieldError(p.Field, p.Detail))
	}
	e.Network = e.Network.Normalize()
	return e, invalidFields(fieldErrors)
}

func readNetworkMode(mode contract.NetworkMode) environment.Mode {
	if mode == contract.NetworkNone {
		return environment.None
	}
	return environment.Mode(mode)
}

// ListEnvironments returns a page of the tenant's environments.
func (s *Server) ListEnvironments(c echo.Context, params contract.ListEnvironmentsParams) error {
	environments, next, err := readPage(c, pageParams{params.Limit, params.Cursor}, s.stores.Environments.Environments,
		func(e environment.Environment) cursorPosition { return timePosition(e.CreatedAt, e.ID) })
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, contract.EnvironmentList{Environments: viewAll(environments, viewEnvironment), NextCursor: next})
}

// GetEnvironment returns an environment.
func (s *Server) GetEnvironment(c echo.Context, environmentID contract.ID, _ contract.GetEnvironmentParams) error {
	if err := checkID(id.Environment, environmentID); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	e, err := s.stores.Environments.Environment(ctx, tenantID(c), environmentID)
	if err != nil {
		return err
	}
	return respondWithETag(c, viewEnvironment(e))
}

// UpdateEnvironment applies a JSON Merge Patch to an environment. The result is checked like a new environment.
func (s *Server) UpdateEnvironment(c echo.Context, environmentID contract.ID) error {
	if err := checkID(id.Environment, environmentID); err != nil {
		return err
	}
	var patch jsontext.Value
	if err := readJSON(c, &patch, mediaTypeMergePatch); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	changed, err := s.stores.Environments.UpdateEnvironment(ctx, tenantID(c), environmentID,
		func(e environment.Environment) (environment.Environment, error) { return s.patchEnvironment(e, patch) })
	if err != nil {
		return err
	}
	return respondWithETag(c, viewEnvironment(changed))
}

func (s *Server) patchEnvironment(e environment.Environment, patch []byte) (environment.Environment, error) {
	var expected struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(patch, &expected); err != nil {
		return e, invalidField("body", "is not a JSON Merge Patch")
	}
	before, err := marshalJSON(viewEnvironment(e))
	if err != nil {
		return e, err
	}
	merged, err := jsonpatch.MergePatch(before, patch)
	if err != nil {
		return e, invalidField("body", "is not a JSON Merge Patch")
	}
	var body contract.CreateEnvironment
	if err := json.Unmarshal(merged, &body); err != nil { // the other members, such as the ID, cannot be changed
		return e, invalidField("body", "does not result in a valid environment")
	}
	after, err := s.newEnvironment(e.Tenant, body)
	if err != nil {
		return e, err
	}
	after.ID, after.CreatedAt, after.Version = e.ID, e.CreatedAt, e.Version
	if expected.Version != 0 && expected.Version != e.Version && len(environment.Changes(e, after)) > 0 {
		return e, &versionConflictError{resource: "environment", expected: expected.Version, newest: e.Version}
	}
	return after, nil
}

// DeleteEnvironment deletes an environment. Executions that were accepted before keep its version.
func (s *Server) DeleteEnvironment(c echo.Context, environmentID contract.ID) error {
	if err := checkID(id.Environment, environmentID); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.stores.Environments.DeleteEnvironment(ctx, tenantID(c), environmentID); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// ListEnvironmentVersions returns a page of the versions of an environment.
func (s *Server) ListEnvironmentVersions(c echo.Context, environmentID contract.ID, params contract.ListEnvironmentVersionsParams) error {
	if err := checkID(id.Environment, environmentID); err != nil {
		return err
	}
	versions, next, err := readVersionPage(c, pageParams{params.Limit, params.Cursor}, func(ctx context.Context, before, limit int) ([]agent.VersionInfo, error) {
		return s.stores.Environments.EnvironmentVersions(ctx, tenantID(c), environmentID, before, limit)
	})
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, contract.EnvironmentVersionList{
		Versions: viewAll(versions, func(v agent.VersionInfo) contract.EnvironmentVersion {
			return contract.EnvironmentVersion{
				Version: v.Version, Changed: v.Changed, CreatedAt: v.UpdatedAt,
				Urls: contract.EnvironmentVersionURLs{Self: "/environments/" + environmentID + "/versions/" + strconv.Itoa(v.Version)},
			}
		}),
		NextCursor: next,
	})
}

// GetEnvironmentVersion returns an environment as it was in a version. An environment that was deleted has none.
func (s *Server) GetEnvironmentVersion(c echo.Context, environmentID contract.ID, version string, _ contract.GetEnvironmentVersionParams) error {
	if err := checkID(id.Environment, environmentID); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	if _, err := s.stores.Environments.Environment(ctx, tenantID(c), environmentID); err != nil {
		return err
	}
	number, valid := parseVersionNumber(version)
	if !valid {
		return &store.NotFoundError{Resource: "environment version", ID: version}
	}
	e, err := s.stores.Environments.EnvironmentVersion(ctx, tenantID(c), environmentID, number)
	if err != nil {
		return err
	}
	return respondWithETag(c, viewEnvironment(e))
}

// checkEnvironment rejects the field environmentId of a request if the tenant has no such environment. Empty names
// none.
func (s *Server) checkEnvironment(ctx context.Context, tenant, environmentID string) error {
	if err := checkEnvironmentID(environmentID); err != nil || environmentID == "" {
		return err
	}
	_, err := s.stores.Environments.Environment(ctx, tenant, environmentID)
	var notFound *store.NotFoundError
	if errors.As(err, &notFound) {
		return invalidField("environmentId", noSuchEnvironment)
	}
	return err
}

// checkEnvironmentID rejects the field environmentId of a request if it cannot be an ID. Empty names none.
func checkEnvironmentID(environmentID string) error {
	if environmentID != "" && !id.Valid(id.Environment, environmentID) {
		return invalidField("environmentId", noSuchEnvironment)
	}
	return nil
}

const noSuchEnvironment = "is not an environment of the tenant; it may have been deleted"

// explainMissingEnvironment says that the field environmentId of a submission, or of its agent, names an environment
// that the tenant does not have. It returns other errors unchanged.
func explainMissingEnvironment(err error) error {
	var missing *store.MissingEnvironmentError
	switch {
	case !errors.As(err, &missing):
		return err
	case missing.OfAgent:
		return invalidField("environmentId", fmt.Sprintf("is that of the agent, %s, which was deleted; name another, or change the agent", missing.ID))
	default:
		return invalidField("environmentId", noSuchEnvironment)
	}
}

func viewEnvironment(e environment.Environment) contract.Environment {
	network := contract.Network{Mode: contract.NetworkMode(e.Network.Mode), Hosts: e.Network.Hosts, Packages: e.Network.Packages}
	if e.Network.Mode == environment.None {
		network.Mode = contract.NetworkNone
	}
	return contract.Environment{
		Id: e.ID, Version: e.Version, Name: e.Name, Description: e.Description, Network: network, Variables: e.Variables,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
}

func viewEnvironmentRef(r environment.VersionRef) contract.EnvironmentRef {
	return contract.EnvironmentRef{Id: r.ID, Version: r.Version}
}
