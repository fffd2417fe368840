package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/airlock-run/airlock/internal/caller"
	"github.com/airlock-run/airlock/internal/key"
	"github.com/airlock-run/airlock/internal/store"
)

// Issuer is the configuration of an operator who issues keys without the API.
type Issuer struct {
	Services
	Peppered
}

// LoadIssuer reads it from the environment.
func LoadIssuer() (Issuer, error) {
	c, err := env.ParseAs[Issuer]()
	_, pepperErr := c.pepper()
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
func (c Issuer) Issue(ctx context.Context, tenant, name string, scopes []caller.Scope, lifetime time.Duration) (_ key.Key, _ key.Secret, err error) {
	pepper, err := c.pepper()
	if err != nil {
		return key.Key{}, "", err
	}
	if !caller.ValidTenant(tenant) {
		return key.Key{}, "", fmt.Errorf("a tenant is not called %q: %s", tenant, caller.TenantForm)
	}
	if len(scopes) == 0 || !caller.Known(scopes...) {
		return key.Key{}, "", fmt.Errorf("the scopes are some of %v, not %v", caller.All, scopes)
	}
	client, err := connectFirestore(ctx, c.Services)
	if err != nil {
		return key.Key{}, "", err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	k, secret := key.New(pepper, tenant, name, scopes)
	return k, secret, store.New(client).CreateKey(ctx, &k, lifetime)
}
