package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/apikey"
)

const apiKeys = "apiKeys"

// CreateKey stores a new key that is good for a lifetime (0: for ever), and
// fills in its times.
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
	_, err = s.collection(k.Tenant, apiKeys).Doc(k.ID).Create(ctx, k)
	return translateError(err)
}

// Keys returns a page of the tenant's keys, the newest first.
func (s *Store) APIKeys(ctx context.Context, tenant string, p Page) ([]apikey.Key, error) {
	return list[apikey.Key](ctx, p.apply(s.collection(tenant, apiKeys).Query, "createdAt"))
}

// RevokeKey removes a key. NotFoundError: the tenant has no such key.
func (s *Store) RevokeAPIKey(ctx context.Context, tenant, id string) error {
	_, err := s.collection(tenant, apiKeys).Doc(id).Delete(ctx, firestore.Exists)
	if status.Code(err) == codes.NotFound {
		return &NotFoundError{Resource: resourceNames[apiKeys], ID: id}
	}
	return translateError(err)
}

// KeyUsed writes down when a key was used. One that is revoked meanwhile stays so.
func (s *Store) RecordAPIKeyUse(ctx context.Context, k apikey.Key, at time.Time) error {
	_, err := s.collection(k.Tenant, apiKeys).Doc(k.ID).Update(ctx, []firestore.Update{{Path: "lastUsedAt", Value: at}})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return translateError(err)
}

// KeyByHash returns the key whose secret has this hash, and Firestore's time;
// key.ErrUnknown where there is none. It looks across tenants, for who shows a
// secret is not known before.
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
