package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/apikey"
)

const keys = "keys"

// CreateKey stores a new key that is good for a lifetime (0: for ever), and
// fills in its times.
func (s *Store) CreateKey(ctx context.Context, k *apikey.Key, lifetime time.Duration) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	k.CreatedAt = now
	if lifetime > 0 {
		expires := now.Add(lifetime)
		k.ExpiresAt = &expires
	}
	_, err = s.collection(k.Owner, keys).Doc(k.ID).Create(ctx, k)
	return translate(err)
}

// Keys returns a page of the owner's keys, the newest first.
func (s *Store) Keys(ctx context.Context, owner string, p Page) ([]apikey.Key, error) {
	return list[apikey.Key](ctx, p.of(s.collection(owner, keys).Query, "createdAt"))
}

// RevokeKey removes a key. NotFoundError: the owner has no such key.
func (s *Store) RevokeKey(ctx context.Context, owner, id string) error {
	_, err := s.collection(owner, keys).Doc(id).Delete(ctx, firestore.Exists)
	if status.Code(err) == codes.NotFound {
		return &NotFoundError{Resource: singular[keys], ID: id}
	}
	return translate(err)
}

// KeyUsed writes down when a key was used. One that is revoked meanwhile stays so.
func (s *Store) KeyUsed(ctx context.Context, k apikey.Key, at time.Time) error {
	_, err := s.collection(k.Owner, keys).Doc(k.ID).Update(ctx, []firestore.Update{{Path: "usedAt", Value: at}})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return translate(err)
}

// KeyByHash returns the key whose secret has this hash, and Firestore's time;
// key.ErrUnknown where there is none. It looks across owners, for who shows a
// secret is not known before.
func (s *Store) KeyByHash(ctx context.Context, hash string) (apikey.Key, time.Time, error) {
	snaps, err := s.client.CollectionGroup(keys).Where("hash", "==", hash).Limit(1).Documents(ctx).GetAll()
	if err != nil {
		return apikey.Key{}, time.Time{}, translate(err)
	}
	if len(snaps) == 0 {
		return apikey.Key{}, time.Time{}, apikey.ErrUnknown
	}
	var k apikey.Key
	err = snaps[0].DataTo(&k)
	return k, snaps[0].ReadTime, err
}
