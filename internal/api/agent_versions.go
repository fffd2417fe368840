package api

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// ListAgentVersions returns a page of the versions of an agent.
func (s *Server) ListAgentVersions(c echo.Context, agentID contract.ID, params contract.ListAgentVersionsParams) error {
	if err := checkID(id.Agent, agentID); err != nil {
		return err
	}
	page, err := parsePageRequest(c, pageParams{params.Limit, params.Cursor})
	if err != nil {
		return err
	}
	before := 0
	if page.after != nil {
		before = int(page.after.sortKey)
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	versions, err := s.stores.Agents.AgentVersions(ctx, tenantID(c), agentID, before, page.limit+1)
	if err != nil {
		return err
	}
	versions, next := trimPage(&page, versions, func(v agent.VersionInfo) cursorPosition {
		return cursorPosition{sortKey: int64(v.Version)}
	})
	return respondJSON(c, http.StatusOK, contract.AgentVersionList{
		Versions: viewAll(versions, func(v agent.VersionInfo) contract.AgentVersion {
			number := strconv.Itoa(v.Version)
			return contract.AgentVersion{
				Version: v.Version, Changed: v.Changed, CreatedAt: v.UpdatedAt,
				Urls: contract.AgentVersionURLs{Self: "/agents/" + agentID + "/versions/" + number},
			}
		}),
		NextCursor: next,
	})
}

// GetAgentVersion returns an agent as it was in a version.
func (s *Server) GetAgentVersion(c echo.Context, agentID contract.ID, version string, _ contract.GetAgentVersionParams) error {
	if err := checkID(id.Agent, agentID); err != nil {
		return err
	}
	number, err := strconv.Atoi(version)
	invalid := err != nil || number < 1 || strconv.Itoa(number) != version
	ctx, cancel := storeContext(c)
	defer cancel()
	if invalid {
		if _, err := s.stores.Agents.Agent(ctx, tenantID(c), agentID); err != nil {
			return err
		}
		return &store.NotFoundError{Resource: "agent version", ID: version}
	}
	a, err := s.stores.Agents.AgentVersion(ctx, tenantID(c), agentID, number)
	if err != nil {
		return err
	}
	return respondWithETag(c, s.viewAgent(a))
}
