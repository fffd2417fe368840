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
const minLifetime = time.Minute

// IssueKey makes a key of the caller's tenant and shows its secret, once.
func (s *Server) IssueKey(c echo.Context) error {
	if err := s.usesKeys(); err != nil {
		return err
	}
	if c.Request().Header.Get(headerIdempotencyKey) != "" {
		return invalid(fieldError(headerIdempotencyKey, "is not taken here: the answer holds a secret, and is not kept"))
	}
	var body contract.IssueKey
	if err := readJSON(c, &body); err != nil {
		return err
	}
	lifetime, err := checkKey(body)
	if err != nil {
		return err
	}
	scopes := granted(body.Scopes)
	if missing := who(c).Missing(scopes...); len(missing) > 0 {
		return lacking(missing)
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	k, secret := apikey.New(s.config.Pepper, owner(c), body.Name, scopes)
	if err := s.store.CreateKey(ctx, &k, lifetime); err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/keys/"+k.ID)
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return answer(c, http.StatusCreated, contract.IssuedKey{Key: viewKey(k), Secret: secret.Reveal()})
}

// checkKey refuses what the contract's schema cannot, and reads the lifetime.
func checkKey(body contract.IssueKey) (lifetime time.Duration, err error) {
	var wrong []contract.FieldError
	if strings.TrimSpace(body.Name) == "" || len(body.Name) > apikey.MaxName || strings.ContainsRune(body.Name, 0) {
		wrong = append(wrong, fieldError("name", fmt.Sprintf("must hold some text without NUL, at most %d bytes", apikey.MaxName)))
	}
	if body.ExpiresIn != "" {
		lifetime, err = time.ParseDuration(body.ExpiresIn)
		if err != nil || lifetime < minLifetime {
			wrong = append(wrong, fieldError("expiresIn", fmt.Sprintf("must be a duration of at least %s, such as 720h", minLifetime)))
		}
	}
	if len(wrong) > 0 {
		return 0, invalid(wrong...)
	}
	return lifetime, nil
}

// ListKeys shows a page of the tenant's keys.
func (s *Server) ListKeys(c echo.Context, params contract.ListKeysParams) error {
	if err := s.usesKeys(); err != nil {
		return err
	}
	l, err := readListing(c, params.Limit, params.Cursor)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Keys(ctx, owner(c), l.page())
	if err != nil {
		return err
	}
	shown, next := cut(&l, found, func(k apikey.Key) place { return placeOf(k.CreatedAt, k.ID) })
	return answer(c, http.StatusOK, contract.KeyList{Keys: views(shown, viewKey), NextCursor: next})
}

// RevokeKey ends a key, which may be the caller's own.
func (s *Server) RevokeKey(c echo.Context, keyID contract.ID) error {
	if err := s.usesKeys(); err != nil {
		return err
	}
	if !id.Valid(id.Key, keyID) {
		return &store.NotFoundError{Resource: "key", ID: keyID}
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.store.RevokeKey(ctx, owner(c), keyID); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// usesKeys refuses to issue what would open nothing.
func (s *Server) usesKeys() error {
	if _, ok := s.config.Auth.(*auth.KeyVerifier); ok {
		return nil
	}
	return &problem{Status: http.StatusConflict, Code: contract.ProblemKeysNotUsed,
		Detail: "This server does not know its callers by keys; with AUTH_MODE=keys it does."}
}

func viewKey(k apikey.Key) contract.Key {
	scopes := make([]contract.Scope, len(k.Scopes))
	for i, scope := range k.Scopes {
		scopes[i] = contract.Scope(scope)
	}
	return contract.Key{Id: k.ID, Name: k.Name, Scopes: scopes, CreatedAt: k.CreatedAt, ExpiresAt: orZero(k.ExpiresAt), UsedAt: orZero(k.UsedAt)}
}
