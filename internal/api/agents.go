package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

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
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.store.CreateAgent(ctx, &a); err != nil {
		return err
	}
	return respondCreated(c, a)
}

// newAgent checks every field and reports all that is wrong at once.
func (s *Server) newAgent(tenant string, body contract.CreateAgent) (agent.Agent, error) {
	var fieldErrors []contract.FieldError
	checkLength := func(field, text string, maxBytes int, required bool) {
		switch {
		case required && strings.TrimSpace(text) == "":
			fieldErrors = append(fieldErrors, fieldError(field, "must hold some text"))
		case len(text) > maxBytes:
			fieldErrors = append(fieldErrors, fieldError(field, fmt.Sprintf("has %d bytes; at most %d are taken", len(text), maxBytes)))
		case strings.ContainsRune(text, 0):
			fieldErrors = append(fieldErrors, fieldError(field, "must not hold a NUL character"))
		}
	}
	checkLength("name", body.Name, agent.MaxNameBytes, true)
	checkLength("description", body.Description, agent.MaxDescriptionBytes, false)
	checkLength("instructions", body.Instructions, agent.MaxInstructionsBytes, true)
	checkLength("model", body.Model, agent.MaxNameBytes, false)

	runtimeName := body.Runtime
	if runtimeName == "" {
		runtimeName = s.config.DefaultRuntime
	}
	if !s.hasRuntime(runtimeName) {
		fieldErrors = append(fieldErrors, fieldError("runtime", "must be one of: "+strings.Join(s.config.Runtimes, ", ")))
	}
	runTimeout, err := parseTimeout(body.Timeout, execution.DefaultTimeout)
	if err != nil {
		fieldErrors = append(fieldErrors, problemFor(err).Errors...)
	}
	budget := agent.Budget{MaxTokens: body.Budget.MaxTokens, MaxCostUSD: body.Budget.MaxCostUsd}
	if len(fieldErrors) > 0 {
		return agent.Agent{}, invalidRequest(fieldErrors...)
	}
	if err := s.checkRules("instructions", body.Instructions); err != nil {
		return agent.Agent{}, err
	}
	return agent.Agent{
		Tenant: tenant, Name: body.Name, Description: body.Description, Instructions: body.Instructions,
		Runtime: runtimeName, Model: body.Model, Timeout: runTimeout, Budget: budget, RetryPolicy: agent.RetryPolicy{MaxAttempts: body.Retry.MaxAttempts},
	}, nil
}

// ListAgents shows a page of the caller's agents.
func (s *Server) ListAgents(c echo.Context, params contract.ListAgentsParams) error {
	l, err := parsePageRequest(c, params.Limit, params.Cursor)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Agents(ctx, tenantID(c), l.storePage())
	if err != nil {
		return err
	}
	shown, next := trimPage(&l, found, func(a agent.Agent) cursorPosition { return positionOf(a.CreatedAt, a.ID) })
	return respondJSON(c, http.StatusOK, contract.AgentList{Agents: viewAll(shown, viewAgent), NextCursor: next})
}

// GetAgent shows one agent.
func (s *Server) GetAgent(c echo.Context, agentID contract.ID, _ contract.GetAgentParams) error {
	if !id.Valid(id.Agent, agentID) {
		return &store.NotFoundError{Resource: "agent", ID: agentID}
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	a, err := s.store.Agent(ctx, tenantID(c), agentID)
	if err != nil {
		return err
	}
	return respondWithETag(c, viewAgent(a))
}

// RunAgent accepts one run.
func (s *Server) RunAgent(c echo.Context, agentID contract.ID, _ contract.RunAgentParams) error {
	if !id.Valid(id.Agent, agentID) {
		return &store.NotFoundError{Resource: "agent", ID: agentID}
	}
	var body contract.RunAgent
	if err := readJSON(c, &body); err != nil {
		return err
	}
	if err := s.checkPrompt("input", body.Input); err != nil {
		return err
	}
	runTimeout, err := parseTimeout(body.Timeout, 0)
	if err != nil {
		return err
	}
	if err := s.checkWebhook(body.Webhook); err != nil {
		return err
	}
	queueTimeout, err := s.parseQueueTimeout(body.QueueTimeout)
	if err != nil {
		return err
	}
	inputFiles, err := parseInputFiles(body.Files)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	ch, err := s.store.SubmitRun(ctx, store.RunRequest{
		Tenant: tenantID(c), AgentID: agentID, Input: body.Input, Labels: execution.Labels(body.Labels), Timeout: runTimeout, QueueTimeout: queueTimeout,
		InputFiles: inputFiles, Webhook: body.Webhook,
	})
	if err != nil {
		return err
	}
	return s.respondAccepted(c, ch)
}

// accepted answers for an execution that is durable from now on.
func (s *Server) respondAccepted(c echo.Context, ch execution.Change) error {
	s.publish(c, ch)
	return respondCreated(c, ch)
}
