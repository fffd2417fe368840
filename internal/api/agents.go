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
	a, err := s.newAgent(owner(c), body)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.store.CreateAgent(ctx, &a); err != nil {
		return err
	}
	return made(c, a)
}

// newAgent checks every field and reports all that is wrong at once.
func (s *Server) newAgent(owner string, body contract.CreateAgent) (agent.Agent, error) {
	var wrong []contract.FieldError
	bounded := func(field, text string, most int, required bool) {
		switch {
		case required && strings.TrimSpace(text) == "":
			wrong = append(wrong, fieldError(field, "must hold some text"))
		case len(text) > most:
			wrong = append(wrong, fieldError(field, fmt.Sprintf("has %d bytes; at most %d are taken", len(text), most)))
		case strings.ContainsRune(text, 0):
			wrong = append(wrong, fieldError(field, "must not hold a NUL character"))
		}
	}
	bounded("name", body.Name, agent.MaxName, true)
	bounded("description", body.Description, agent.MaxDescription, false)
	bounded("instructions", body.Instructions, agent.MaxInstructions, true)
	bounded("model", body.Model, agent.MaxName, false)

	runtime := body.Runtime
	if runtime == "" {
		runtime = s.config.DefaultRuntime
	}
	if !s.knowsRuntime(runtime) {
		wrong = append(wrong, fieldError("runtime", "must be one of: "+strings.Join(s.config.Runtimes, ", ")))
	}
	d, err := timeout(body.Timeout, execution.DefaultTimeout)
	if err != nil {
		wrong = append(wrong, explain(err).Errors...)
	}
	budget := agent.Budget{MaxTokens: body.Budget.MaxTokens, MaxCostUSD: body.Budget.MaxCostUsd}
	if len(wrong) > 0 {
		return agent.Agent{}, invalid(wrong...)
	}
	if err := s.checkRules("instructions", body.Instructions); err != nil {
		return agent.Agent{}, err
	}
	return agent.Agent{
		Owner: owner, Name: body.Name, Description: body.Description, Instructions: body.Instructions,
		Runtime: runtime, Model: body.Model, Timeout: d, Budget: budget, Retry: agent.Retry{MaxAttempts: body.Retry.MaxAttempts},
	}, nil
}

// ListAgents shows a page of the caller's agents.
func (s *Server) ListAgents(c echo.Context, params contract.ListAgentsParams) error {
	l, err := readListing(c, params.Limit, params.Cursor)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Agents(ctx, owner(c), l.page())
	if err != nil {
		return err
	}
	shown, next := cut(&l, found, func(a agent.Agent) place { return placeOf(a.CreatedAt, a.ID) })
	return answer(c, http.StatusOK, contract.AgentList{Agents: views(shown, viewAgent), NextCursor: next})
}

// GetAgent shows one agent.
func (s *Server) GetAgent(c echo.Context, agentID contract.ID, _ contract.GetAgentParams) error {
	if !id.Valid(id.Agent, agentID) {
		return &store.NotFoundError{Resource: "agent", ID: agentID}
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	a, err := s.store.Agent(ctx, owner(c), agentID)
	if err != nil {
		return err
	}
	return answerTagged(c, viewAgent(a))
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
	limit, err := timeout(body.Timeout, 0)
	if err != nil {
		return err
	}
	if err := s.checkWebhook(body.Webhook); err != nil {
		return err
	}
	wait, err := s.queueTimeout(body.QueueTimeout)
	if err != nil {
		return err
	}
	files, err := givenFiles(body.Files)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	ch, err := s.store.SubmitRun(ctx, store.Run{
		Owner: owner(c), AgentID: agentID, Input: body.Input, Labels: execution.Labels(body.Labels), Timeout: limit, QueueTimeout: wait,
		Files: files, Webhook: body.Webhook,
	})
	if err != nil {
		return err
	}
	return s.accepted(c, ch)
}

// accepted answers for an execution that is durable from now on.
func (s *Server) accepted(c echo.Context, ch execution.Change) error {
	s.tell(c, ch)
	return made(c, ch)
}
