package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// AgentStore stores agents. UpdateAgent may call edit again; if edit changes something, it makes a version. Agents
// lists the newest first, without settings. AgentVersions lists the versions before one, the newest first; 0 means all.
// All but CreateAgent and Agents return a *store.NotFoundError for a missing agent or version.
type AgentStore interface { //nolint:dupl // EnvironmentStore has its shape, with other types
	CreateAgent(ctx context.Context, a *agent.Agent, key *store.IdempotencyKey) error
	Agent(ctx context.Context, tenant, agentID string) (agent.Agent, error)
	UpdateAgent(ctx context.Context, tenant, agentID string, edit func(agent.Agent) (agent.Agent, error)) (agent.Agent, error)
	DeleteAgent(ctx context.Context, tenant, agentID string) error
	Agents(ctx context.Context, tenant string, p store.Page) ([]agent.Agent, error)
	AgentVersion(ctx context.Context, tenant, agentID string, version int) (agent.Agent, error)
	AgentVersions(ctx context.Context, tenant, agentID string, before, limit int) ([]agent.VersionInfo, error)
}

// CreateAgent stores an agent.
func (s *Server) CreateAgent(c echo.Context, _ contract.CreateAgentParams) error {
	var body contract.CreateAgent
	if err := readJSON(c, &body); err != nil {
		return err
	}
	a, err := s.newAgent(tenantID(c), body)
	if err != nil {
		return err
	}
	key := idempotencyKey(c)
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.checkEnvironment(ctx, a.Tenant, a.EnvironmentID); err != nil {
		return err
	}
	if err := s.stores.Agents.CreateAgent(ctx, &a, key); err != nil {
		return err
	}
	return s.respondCreated(c, store.Created{Agent: &a})
}

// newAgent checks all fields and reports every wrong one.
func (s *Server) newAgent(tenant string, body contract.CreateAgent) (agent.Agent, error) {
	fieldErrors := textField{"name", agent.MaxNameBytes, true}.check(body.Name)
	fieldErrors = append(fieldErrors, textField{"description", agent.MaxDescriptionBytes, false}.check(body.Description)...)
	fieldErrors = append(fieldErrors, textField{"instructions", agent.MaxInstructionsBytes, true}.check(body.Instructions)...)
	fieldErrors = append(fieldErrors, textField{"model", agent.MaxNameBytes, false}.check(body.Model)...)
	runtimeName := body.Runtime
	if runtimeName == "" {
		runtimeName = s.config.DefaultRuntime
	}
	if !s.hasRuntime(runtimeName) {
		fieldErrors = append(fieldErrors, fieldError("runtime", "must be one of: "+strings.Join(s.config.Runtimes, ", ")))
	}
	runTimeout, timeoutErrors := timeoutField.parse(body.Timeout, execution.DefaultTimeout)
	fieldErrors = append(fieldErrors, timeoutErrors...)
	transcriptRetention, retentionErrors := transcriptRetentionField.parseOptional(body.TranscriptRetention)
	fieldErrors = append(fieldErrors, retentionErrors...)
	if daily := body.DailyBudget; daily.Usd > 0 && daily.SoftUsd > daily.Usd {
		fieldErrors = append(fieldErrors, fieldError("dailyBudget.softUsd", "must not be above usd"))
	}
	settings, settingErrors := s.agentSettings(runtimeName, body)
	if err := invalidFields(append(fieldErrors, settingErrors...)); err != nil {
		return agent.Agent{}, err
	}
	if err := s.checkRules("instructions", body.Instructions); err != nil {
		return agent.Agent{}, err
	}
	if err := s.checkSkillRules(settings.Skills); err != nil {
		return agent.Agent{}, err
	}
	return agent.Agent{
		Tenant: tenant, Name: body.Name, Description: body.Description, Instructions: body.Instructions,
		Runtime: runtimeName, Model: body.Model, Timeout: runTimeout,
		Budget:      agent.Budget{MaxTokens: body.Budget.MaxTokens, MaxCostUSD: body.Budget.MaxCostUsd},
		DailyBudget: agent.DailyBudget{USD: body.DailyBudget.Usd, SoftUSD: body.DailyBudget.SoftUsd},
		RetryPolicy: agent.RetryPolicy{MaxAttempts: body.Retry.MaxAttempts}, TranscriptRetention: transcriptRetention,
		EnvironmentID: body.EnvironmentId, Settings: settings,
	}, nil
}

// ListAgents returns a page of the tenant's agents.
func (s *Server) ListAgents(c echo.Context, params contract.ListAgentsParams) error {
	agents, next, err := readPage(c, pageParams{params.Limit, params.Cursor}, s.stores.Agents.Agents,
		func(a agent.Agent) cursorPosition { return timePosition(a.CreatedAt, a.ID) })
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, contract.AgentList{Agents: viewAll(agents, s.viewAgent), NextCursor: next})
}

// GetAgent returns an agent.
func (s *Server) GetAgent(c echo.Context, agentID contract.ID, _ contract.GetAgentParams) error {
	if err := checkID(id.Agent, agentID); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	a, err := s.stores.Agents.Agent(ctx, tenantID(c), agentID)
	if err != nil {
		return err
	}
	return respondWithETag(c, s.viewAgent(a))
}

const mediaTypeMergePatch = "application/merge-patch+json"

// UpdateAgent applies a JSON Merge Patch to an agent. The result is checked like a new agent.
func (s *Server) UpdateAgent(c echo.Context, agentID contract.ID) error {
	if err := checkID(id.Agent, agentID); err != nil {
		return err
	}
	var patch jsontext.Value
	if err := readJSON(c, &patch, mediaTypeMergePatch); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	changed, err := s.stores.Agents.UpdateAgent(ctx, tenantID(c), agentID, func(a agent.Agent) (agent.Agent, error) {
		after, err := s.patchAgent(a, patch)
		if err == nil && after.EnvironmentID != a.EnvironmentID {
			err = s.checkEnvironment(ctx, a.Tenant, after.EnvironmentID)
		}
		return after, err
	})
	if err != nil {
		return err
	}
	return respondWithETag(c, s.viewAgent(changed))
}

func (s *Server) patchAgent(a agent.Agent, patch []byte) (agent.Agent, error) {
	var expected struct {
		Version int             `json:"version"`
		Schema  *jsontext.Value `json:"schema"`
	}
	if err := json.Unmarshal(patch, &expected); err != nil {
		return a, invalidField("body", "is not a JSON Merge Patch")
	}
	before, err := marshalJSON(s.viewAgent(a))
	if err != nil {
		return a, err
	}
	merged, err := jsonpatch.MergePatch(before, patch)
	if err != nil {
		return a, invalidField("body", "is not a JSON Merge Patch")
	}
	var body contract.CreateAgent
	if err := json.Unmarshal(merged, &body); err != nil { // the other members, such as the ID, cannot be changed
		return a, invalidField("body", "does not result in a valid agent")
	}
	if expected.Schema != nil { // a schema may contain null, so it is not merged
		body.Schema = contract.AnswerSchema(*expected.Schema)
	}
	after, err := s.newAgent(a.Tenant, body)
	if err != nil {
		return a, err
	}
	after.ID, after.CreatedAt, after.Version = a.ID, a.CreatedAt, a.Version
	if expected.Version != 0 && expected.Version != a.Version && len(agent.Changes(a, after)) > 0 {
		return a, &versionConflictError{resource: "agent", expected: expected.Version, newest: a.Version}
	}
	return after, nil
}

// versionConflictError means that a resource has changed since the version on which a change is based.
type versionConflictError struct {
	resource         string // for people
	expected, newest int
}

func (e *versionConflictError) Error() string {
	return fmt.Sprintf("the %s has version %d; the change is based on version %d", e.resource, e.newest, e.expected)
}

// DeleteAgent deletes an agent. Executions that were accepted before keep its version.
func (s *Server) DeleteAgent(c echo.Context, agentID contract.ID) error {
	if err := checkID(id.Agent, agentID); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.stores.Agents.DeleteAgent(ctx, tenantID(c), agentID); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// RunAgent accepts a run of an agent.
func (s *Server) RunAgent(c echo.Context, agentID contract.ID, _ contract.RunAgentParams) error {
	if err := checkID(id.Agent, agentID); err != nil {
		return err
	}
	var body contract.RunAgent
	if err := readJSON(c, &body); err != nil {
		return err
	}
	run, err := s.newRun(body)
	if err != nil {
		return err
	}
	run.Tenant, run.AgentID, run.IdempotencyKey = tenantID(c), agentID, idempotencyKey(c)
	ctx, cancel := storeContext(c)
	defer cancel()
	ch, err := s.submitter.SubmitRun(ctx, run)
	if err != nil {
		return explainMissing(err, run.InputFiles)
	}
	return s.respondAccepted(c, ch)
}

func (s *Server) newRun(body contract.RunAgent) (run store.RunRequest, err error) {
	if err := s.checkPrompt("input", body.Input); err != nil {
		return run, err
	}
	if from := body.Workspace.From; from != "" {
		if err := checkID(id.Execution, from); err != nil {
			return run, err
		}
	}
	if err := checkEnvironmentID(body.EnvironmentId); err != nil {
		return run, err
	}
	run = store.RunRequest{
		AgentVersion: body.AgentVersion, EnvironmentID: body.EnvironmentId, Input: body.Input, WorkspaceFrom: body.Workspace.From,
		Labels: execution.Labels(body.Labels), Webhook: body.Webhook,
	}
	var fieldErrors []contract.FieldError
	if run.Timeout, fieldErrors = timeoutField.parse(body.Timeout, 0); fieldErrors != nil {
		return run, invalidFields(fieldErrors)
	}
	if err := s.checkWebhook(body.Webhook); err != nil {
		return run, err
	}
	if run.QueueTimeout, fieldErrors = queueTimeoutField.parse(body.QueueTimeout, s.config.QueueTimeout); fieldErrors != nil {
		return run, invalidFields(fieldErrors)
	}
	run.InputFiles, err = parseInputFiles(body.Files)
	return run, err
}
