package api

import (
	"net/http"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

const mediaTypeMergePatch = "application/merge-patch+json"

// UpdateAgent merges a patch into an agent. What comes of it is checked like a
// new agent, so that there is one rule for what an agent may be.
func (s *Server) UpdateAgent(c echo.Context, agentID contract.ID) error {
	if !id.Valid(id.Agent, agentID) {
		return &store.NotFoundError{Resource: "agent", ID: agentID}
	}
	var patch jsontext.Value
	if err := readJSON(c, &patch, mediaTypeMergePatch); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	changed, err := s.store.UpdateAgent(ctx, tenantID(c), agentID, func(a agent.Agent) (agent.Agent, error) {
		return s.applyPatch(a, patch)
	})
	if err != nil {
		return err
	}
	return respondWithETag(c, viewAgent(changed))
}

func (s *Server) applyPatch(a agent.Agent, patch []byte) (agent.Agent, error) {
	before, err := marshalJSON(viewAgent(a))
	if err != nil {
		return a, err
	}
	merged, err := jsonpatch.MergePatch(before, patch)
	if err != nil {
		return a, invalidRequest(fieldError("body", "is not a JSON Merge Patch"))
	}
	var body contract.CreateAgent
	if err := json.Unmarshal(merged, &body); err != nil { // its other members are not the caller's to set
		return a, invalidRequest(fieldError("body", "makes no agent"))
	}
	after, err := s.newAgent(a.Tenant, body)
	after.ID, after.CreatedAt = a.ID, a.CreatedAt
	return after, err
}

// DeleteAgent deletes an agent. What was accepted before has a copy of it.
func (s *Server) DeleteAgent(c echo.Context, agentID contract.ID) error {
	if !id.Valid(id.Agent, agentID) {
		return &store.NotFoundError{Resource: "agent", ID: agentID}
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.store.DeleteAgent(ctx, tenantID(c), agentID); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
