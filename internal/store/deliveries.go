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
func (s *Store) createDelivery(tx *firestore.Transaction, d *webhook.Delivery) error {
	if d == nil {
		return nil
	}
	return tx.Create(s.collection(d.Tenant, deliveries).Doc(d.ID), d)
}

// DueDelivery is what a courier has to know of a delivery before it claims it.
type DueDelivery struct {
	webhook.Ref
	URL string `firestore:"url"`
}

// DueDeliveries returns deliveries of all tenants that are due at now, longest
// first. It is the couriers'.
func (s *Store) DueDeliveries(ctx context.Context, now time.Time, limit int) ([]DueDelivery, error) {
	q := s.client.CollectionGroup(deliveries).Where("due", "<=", now).OrderBy("due", firestore.Asc).Limit(limit)
	return list[DueDelivery](ctx, q.Select("tenant", "id", "url"))
}

// ChangeDelivery is the one way in which a stored delivery changes. The change
// is one of webhook.Delivery's; it may be called more than once, each time with
// the delivery as it is stored, and what it returns is returned. It hands back
// Firestore's time as well.
func (s *Store) UpdateDelivery(
	ctx context.Context, ref webhook.Ref, update func(*webhook.Delivery, time.Time) error,
) (d webhook.Delivery, now time.Time, err error) {
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		d = webhook.Delivery{}
		now, err = s.read(tx.Get, deliveries, ref.Tenant, ref.ID, &d)
		if err != nil {
			return err
		}
		if err := update(&d, now); err != nil {
			return err
		}
		return tx.Set(s.collection(ref.Tenant, deliveries).Doc(ref.ID), &d)
	})
	return d, now, err
}

// Delivery returns the tenant's delivery, or a NotFoundError.
func (s *Store) Delivery(ctx context.Context, ref webhook.Ref) (webhook.Delivery, error) {
	var d webhook.Delivery
	_, err := s.read(withoutTransaction(ctx), deliveries, ref.Tenant, ref.ID, &d)
	return d, err
}

// Deliveries returns a page of the tenant's deliveries, the newest first.
func (s *Store) Deliveries(ctx context.Context, tenant string, p Page) ([]webhook.Delivery, error) {
	return list[webhook.Delivery](ctx, p.apply(s.collection(tenant, deliveries).Query, "createdAt"))
}

// WebhookSecrets returns those that sign the tenant's deliveries, and makes them
// where there are none yet.
func (s *Store) WebhookSecrets(ctx context.Context, tenant string) (webhook.Secrets, error) {
	var found webhook.Secrets
	_, err := s.read(withoutTransaction(ctx), secrets, tenant, webhookSecretsDoc, &found)
	if notFound := new(NotFoundError); !errors.As(err, &notFound) {
		return found, err
	}
	return s.updateSecrets(ctx, tenant, func(*webhook.Secrets, time.Time) {})
}

// RotateWebhookSecret replaces the secret that signs the tenant's deliveries.
func (s *Store) RotateWebhookSecret(ctx context.Context, tenant string) (webhook.Secrets, error) {
	return s.updateSecrets(ctx, tenant, (*webhook.Secrets).Rotate)
}

// webhookSecrets is the document's name.
const webhookSecretsDoc = "webhooks"

func (s *Store) updateSecrets(ctx context.Context, tenant string, update func(*webhook.Secrets, time.Time)) (webhook.Secrets, error) {
	var stored webhook.Secrets
	err := s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		stored = webhook.Secrets{}
		now, err := s.read(tx.Get, secrets, tenant, webhookSecretsDoc, &stored)
		if notFound := new(NotFoundError); errors.As(err, &notFound) {
			stored, err = webhook.NewSecrets(), nil
		}
		if err != nil {
			return err
		}
		update(&stored, now)
		return tx.Set(s.collection(tenant, secrets).Doc(webhookSecretsDoc), &stored)
	})
	return stored, err
}
