package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// KeyStore stores API keys. CreateAPIKey sets the times of the key; a lifetime of 0 means that it never expires.
// APIKeys lists the newest first. RevokeAPIKey returns a *store.NotFoundError for a missing key.
type KeyStore interface {
	CreateAPIKey(ctx context.Context, k *apikey.Key, lifetime time.Duration) error
	APIKeys(ctx context.Context, tenant string, p store.Page) ([]apikey.Key, error)
	RevokeAPIKey(ctx context.Context, tenant, keyID string) error
}

// minAPIKeyLifetime is the shortest lifetime of a key. A shorter one is a mistake.
const minAPIKeyLifetime = time.Minute

// IssueAPIKey creates an API key of the caller's tenant and shows its secret. The secret is not stored and cannot be
// shown again, so this operation takes no idempotency key.
func (s *Server) IssueAPIKey(c echo.Context) error {
	pepper := s.config.APIKeyPepper
	if pepper == nil {
		return errAPIKeysDisabled
	}
	if c.Request().Header.Get(headerIdempotencyKey) != "" {
		return invalidField(headerIdempotencyKey, "is not accepted here: the response holds a secret and is not stored")
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
		return &insufficientScopeError{missing}
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	k, secret := apikey.New(*pepper, tenantID(c), body.Name, scopes)
	if err := s.stores.APIKeys.CreateAPIKey(ctx, &k, lifetime); err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/keys/"+k.ID)
	c.Response().Header().Set(headerCacheControl, "no-store")
	return respondJSON(c, http.StatusCreated, contract.IssuedAPIKey{Key: viewAPIKey(k), Secret: secret.Reveal()})
}

// checkIssueAPIKey makes the checks that the schema of the contract cannot express, and reads the lifetime.
func checkIssueAPIKey(body contract.IssueAPIKey) (lifetime time.Duration, err error) {
	fieldErrors := textField{"name", apikey.MaxNameBytes, true}.check(body.Name)
	if body.ExpiresIn != "" {
		lifetime, err = time.ParseDuration(body.ExpiresIn)
		if err != nil || lifetime < minAPIKeyLifetime {
			fieldErrors = append(fieldErrors, fieldError("expiresIn", fmt.Sprintf("must be a duration of at least %s, such as 720h", minAPIKeyLifetime)))
		}
	}
	return lifetime, invalidFields(fieldErrors)
}

// ListAPIKeys returns a page of the tenant's API keys.
func (s *Server) ListAPIKeys(c echo.Context, params contract.ListAPIKeysParams) error {
	if s.config.APIKeyPepper == nil {
		return errAPIKeysDisabled
	}
	keys, next, err := readPage(c, pageParams{params.Limit, params.Cursor}, s.stores.APIKeys.APIKeys,
		func(k apikey.Key) cursorPosition { return timePosition(k.CreatedAt, k.ID) })
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, contract.APIKeyList{Keys: viewAll(keys, viewAPIKey), NextCursor: next})
}

// RevokeAPIKey revokes an API key, which may be the caller's own.
func (s *Server) RevokeAPIKey(c echo.Context, keyID contract.ID) error {
	if s.config.APIKeyPepper == nil {
		return errAPIKeysDisabled
	}
	if err := checkID(id.APIKey, keyID); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.stores.APIKeys.RevokeAPIKey(ctx, tenantID(c), keyID); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func viewAPIKey(k apikey.Key) contract.APIKey {
	scopes := make([]contract.Scope, len(k.Scopes))
	for i, scope := range k.Scopes {
		scopes[i] = contract.Scope(scope)
	}
	return contract.APIKey{
		Id: k.ID, Name: k.Name, Scopes: scopes, CreatedAt: k.CreatedAt,
		ExpiresAt: orZero(k.ExpiresAt), LastUsedAt: orZero(k.LastUsedAt),
	}
}
