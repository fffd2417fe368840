package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// minLifetime of a key: one that ends sooner is a mistake.
const minAPIKeyLifetime = time.Minute

// IssueKey makes a key of the caller's tenant and shows its secret, once.
func (s *Server) IssueAPIKey(c echo.Context) error {
	if err := s.requireAPIKeyAuth(); err != nil {
		return err
	}
	if c.Request().Header.Get(headerIdempotencyKey) != "" {
		return invalidRequest(fieldError(headerIdempotencyKey, "is not taken here: the answer holds a secret, and is not kept"))
	}
	var body contract.IssueAPIKey
	if err := readJSON(c, &body); err != nil {
		return err
	}
	lifetime, err := checkIssueAPIKey(body)
	if err != nil {
		return err
	}
	scopes := domainScopes(body.Scopes)
	if missing := callerOf(c).MissingScopes(scopes...); len(missing) > 0 {
		return insufficientScope(missing)
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	k, secret := apikey.New(s.config.Pepper, tenantID(c), body.Name, scopes)
	if err := s.store.CreateAPIKey(ctx, &k, lifetime); err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/keys/"+k.ID)
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return respondJSON(c, http.StatusCreated, contract.IssuedAPIKey{Key: viewAPIKey(k), Secret: secret.Reveal()})
}

// checkKey refuses what the contract's schema cannot, and reads the lifetime.
func checkIssueAPIKey(body contract.IssueAPIKey) (lifetime time.Duration, err error) {
	var fieldErrors []contract.FieldError
	if strings.TrimSpace(body.Name) == "" || len(body.Name) > apikey.MaxNameBytes || strings.ContainsRune(body.Name, 0) {
		fieldErrors = append(fieldErrors, fieldError("name", fmt.Sprintf("must hold some text without NUL, at most %d bytes", apikey.MaxNameBytes)))
	}
	if body.ExpiresIn != "" {
		lifetime, err = time.ParseDuration(body.ExpiresIn)
		if err != nil || lifetime < minAPIKeyLifetime {
			fieldErrors = append(fieldErrors, fieldError("expiresIn", fmt.Sprintf("must be a duration of at least %s, such as 720h", minAPIKeyLifetime)))
		}
	}
	if len(fieldErrors) > 0 {
		return 0, invalidRequest(fieldErrors...)
	}
	return lifetime, nil
}

// ListKeys shows a page of the tenant's keys.
func (s *Server) ListAPIKeys(c echo.Context, params contract.ListAPIKeysParams) error {
	if err := s.requireAPIKeyAuth(); err != nil {
		return err
	}
	l, err := parsePageRequest(c, params.Limit, params.Cursor)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.APIKeys(ctx, tenantID(c), l.storePage())
	if err != nil {
		return err
	}
	shown, next := trimPage(&l, found, func(k apikey.Key) cursorPosition { return positionOf(k.CreatedAt, k.ID) })
	return respondJSON(c, http.StatusOK, contract.APIKeyList{Keys: viewAll(shown, viewAPIKey), NextCursor: next})
}

// RevokeKey ends a key, which may be the caller's own.
func (s *Server) RevokeAPIKey(c echo.Context, keyID contract.ID) error {
	if err := s.requireAPIKeyAuth(); err != nil {
		return err
	}
	if !id.Valid(id.APIKey, keyID) {
		return &store.NotFoundError{Resource: "key", ID: keyID}
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.store.RevokeAPIKey(ctx, tenantID(c), keyID); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// usesKeys refuses to issue what would open nothing.
func (s *Server) requireAPIKeyAuth() error {
	if _, ok := s.config.Auth.(*auth.KeyVerifier); ok {
		return nil
	}
	return &problem{Status: http.StatusConflict, Code: contract.ProblemAPIKeysDisabled,
		Detail: "This server does not know its callers by keys; with AIRLOCK_AUTH_MODE=keys it does."}
}

func viewAPIKey(k apikey.Key) contract.APIKey {
	scopes := make([]contract.Scope, len(k.Scopes))
	for i, scope := range k.Scopes {
		scopes[i] = contract.Scope(scope)
	}
	return contract.APIKey{Id: k.ID, Name: k.Name, Scopes: scopes, CreatedAt: k.CreatedAt, ExpiresAt: orZero(k.ExpiresAt), LastUsedAt: orZero(k.LastUsedAt)}
}
