package store

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

const (
	deliveries = "deliveries"
	secrets    = "secrets"
)

// deliver keeps a delivery with the end that it tells of; nil: nobody is told.
func (s *Store) deliver(tx *firestore.Transaction, d *webhook.Delivery) error {
	if d == nil {
		return nil
	}
	return tx.Create(s.collection(d.Owner, deliveries).Doc(d.ID), d)
}

// DueDelivery is what a courier has to know of a delivery before it claims it.
type DueDelivery struct {
	webhook.Ref
	URL string `firestore:"url"`
}

// DueDeliveries returns deliveries of all owners that are due at now, longest
// first. It is the couriers'.
func (s *Store) DueDeliveries(ctx context.Context, now time.Time, limit int) ([]DueDelivery, error) {
	q := s.client.CollectionGroup(deliveries).Where("due", "<=", now).OrderBy("due", firestore.Asc).Limit(limit)
	return list[DueDelivery](ctx, q.Select("owner", "id", "url"))
}

// ChangeDelivery is the one way in which a stored delivery changes. The change
// is one of webhook.Delivery's; it may be called more than once, each time with
// the delivery as it is stored, and what it returns is returned. It hands back
// Firestore's time as well.
func (s *Store) ChangeDelivery(
	ctx context.Context, ref webhook.Ref, change func(*webhook.Delivery, time.Time) error,
) (d webhook.Delivery, now time.Time, err error) {
	err = s.transact(ctx, func(tx *firestore.Transaction) error {
		d = webhook.Delivery{}
		now, err = s.read(tx.Get, deliveries, ref.Owner, ref.ID, &d)
		if err != nil {
			return err
		}
		if err := change(&d, now); err != nil {
			return err
		}
		return tx.Set(s.collection(ref.Owner, deliveries).Doc(ref.ID), &d)
	})
	return d, now, err
}

// Delivery returns the owner's delivery, or a NotFoundError.
func (s *Store) Delivery(ctx context.Context, ref webhook.Ref) (webhook.Delivery, error) {
	var d webhook.Delivery
	_, err := s.read(outside(ctx), deliveries, ref.Owner, ref.ID, &d)
	return d, err
}

// Deliveries returns a page of the owner's deliveries, the newest first.
func (s *Store) Deliveries(ctx context.Context, owner string, p Page) ([]webhook.Delivery, error) {
	return list[webhook.Delivery](ctx, p.of(s.collection(owner, deliveries).Query, "createdAt"))
}

// WebhookSecrets returns those that sign the owner's deliveries, and makes them
// where there are none yet.
func (s *Store) WebhookSecrets(ctx context.Context, owner string) (webhook.Secrets, error) {
	var found webhook.Secrets
	_, err := s.read(outside(ctx), secrets, owner, webhookSecrets, &found)
	if notFound := new(NotFoundError); !errors.As(err, &notFound) {
		return found, err
	}
	return s.changeSecrets(ctx, owner, func(*webhook.Secrets, time.Time) {})
}

// RotateWebhookSecret replaces the secret that signs the owner's deliveries.
func (s *Store) RotateWebhookSecret(ctx context.Context, owner string) (webhook.Secrets, error) {
	return s.changeSecrets(ctx, owner, (*webhook.Secrets).Rotate)
}

// webhookSecrets is the document's name.
const webhookSecrets = "webhooks"

func (s *Store) changeSecrets(ctx context.Context, owner string, change func(*webhook.Secrets, time.Time)) (webhook.Secrets, error) {
	var kept webhook.Secrets
	err := s.transact(ctx, func(tx *firestore.Transaction) error {
		kept = webhook.Secrets{}
		now, err := s.read(tx.Get, secrets, owner, webhookSecrets, &kept)
		if notFound := new(NotFoundError); errors.As(err, &notFound) {
			kept, err = webhook.NewSecrets(), nil
		}
		if err != nil {
			return err
		}
		change(&kept, now)
		return tx.Set(s.collection(owner, secrets).Doc(webhookSecrets), &kept)
	})
	return kept, err
}
