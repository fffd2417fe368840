package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

// Issuer is the configuration of an operator who issues keys without the API.
type KeyIssuer struct {
	Services
	PepperSource
}

// LoadIssuer reads it from the environment.
func LoadKeyIssuer() (KeyIssuer, error) {
	c, err := env.ParseAs[KeyIssuer]()
	_, pepperErr := c.loadPepper()
	if c.Project == "" && c.FirestoreHost != "" {
		c.Project = LocalProject
	}
	if c.Project == "" {
		err = errors.Join(err, errors.New("GOOGLE_CLOUD_PROJECT is not set (needed unless FIRESTORE_EMULATOR_HOST is)"))
	}
	return c, errors.Join(err, pepperErr)
}

// Issue stores a new key of a tenant, which need not have existed before, and
// returns its secret. A lifetime of 0 does not end.
func (c KeyIssuer) Issue(ctx context.Context, tenantName, name string, scopes []tenant.Scope, lifetime time.Duration) (_ apikey.Key, _ apikey.Secret, err error) {
	pepper, err := c.loadPepper()
	if err != nil {
		return apikey.Key{}, "", err
	}
	if !tenant.ValidName(tenantName) {
		return apikey.Key{}, "", fmt.Errorf("a tenant is not called %q: %s", tenantName, tenant.NameRule)
	}
	if len(scopes) == 0 || !tenant.ValidScopes(scopes...) {
		return apikey.Key{}, "", fmt.Errorf("the scopes are some of %v, not %v", tenant.AllScopes, scopes)
	}
	client, err := dialFirestore(ctx, c.Services)
	if err != nil {
		return apikey.Key{}, "", err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	k, secret := apikey.New(pepper, tenantName, name, scopes)
	return k, secret, store.New(client).CreateAPIKey(ctx, &k, lifetime)
}
