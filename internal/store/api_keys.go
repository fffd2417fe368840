package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/apikey"
)

// CreateAPIKey stores a new key that is valid for a lifetime (0: forever) and fills in its times.
func (s *Store) CreateAPIKey(ctx context.Context, k *apikey.Key, lifetime time.Duration) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	k.CreatedAt = now
	if lifetime > 0 {
		expires := now.Add(lifetime)
		k.ExpiresAt = &expires
	}
	return create(ctx, s.apiKeyDoc(k.Tenant, k.ID), k)
}

// APIKeys returns a page of the tenant's keys, the newest first.
func (s *Store) APIKeys(ctx context.Context, tenant string, p Page) ([]apikey.Key, error) {
	return list[apikey.Key](ctx, p.apply(s.collection(tenant, apiKeys).Query, "createdAt"))
}

// APIKeyByHash returns the key whose secret has this hash, and Firestore's time. Without such a key the error is
// apikey.ErrNotFound. It searches all tenants, because the secret does not name its tenant.
func (s *Store) APIKeyByHash(ctx context.Context, hash string) (apikey.Key, time.Time, error) {
	snaps, err := s.client.CollectionGroup(apiKeys).Where("hash", "==", hash).Limit(1).Documents(ctx).GetAll()
	if err != nil {
		return apikey.Key{}, time.Time{}, translateError(err)
	}
	if len(snaps) == 0 {
		return apikey.Key{}, time.Time{}, apikey.ErrNotFound
	}
	var k apikey.Key
	err = snaps[0].DataTo(&k)
	return k, snaps[0].ReadTime, err
}

// RecordAPIKeyUse stores when a key was used. A key that was revoked in the meantime stays revoked.
func (s *Store) RecordAPIKeyUse(ctx context.Context, k apikey.Key, at time.Time) error {
	_, err := s.apiKeyDoc(k.Tenant, k.ID).Update(ctx, []firestore.Update{{Path: "lastUsedAt", Value: at}})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return translateCommitError(err)
}

// RevokeAPIKey deletes a key, or returns a NotFoundError.
func (s *Store) RevokeAPIKey(ctx context.Context, tenant, keyID string) error {
	return removeExisting(ctx, s.apiKeyDoc(tenant, keyID))
}
