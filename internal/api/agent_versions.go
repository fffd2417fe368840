package api

import (
	"context"
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
	versions, next, err := readVersionPage(c, pageParams{params.Limit, params.Cursor}, func(ctx context.Context, before, limit int) ([]agent.VersionInfo, error) {
		return s.stores.Agents.AgentVersions(ctx, tenantID(c), agentID, before, limit)
	})
	if err != nil {
		return err
	}
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
	number, valid := parseVersionNumber(version)
	ctx, cancel := storeContext(c)
	defer cancel()
	if !valid {
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

// readVersionPage reads a page of versions, the newest first. read returns at most limit versions before one; 0 means
// all.
func readVersionPage(
	c echo.Context, params pageParams, read func(ctx context.Context, before, limit int) ([]agent.VersionInfo, error),
) ([]agent.VersionInfo, string, error) {
	page, err := parsePageRequest(c, params)
	if err != nil {
		return nil, "", err
	}
	before := 0
	if page.after != nil {
		before = int(page.after.sortKey)
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	versions, err := read(ctx, before, page.limit+1)
	if err != nil {
		return nil, "", err
	}
	versions, next := trimPage(&page, versions, func(v agent.VersionInfo) cursorPosition {
		return cursorPosition{sortKey: int64(v.Version)}
	})
	return versions, next, nil
}

// parseVersionNumber reads the number of a version from a path.
func parseVersionNumber(text string) (number int, valid bool) {
	number, err := strconv.Atoi(text)
	return number, err == nil && number > 0 && strconv.Itoa(number) == text
}
