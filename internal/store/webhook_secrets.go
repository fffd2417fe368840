package store

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// WebhookSecrets returns the secrets that sign the tenant's deliveries. It creates them at the first call.
func (s *Store) WebhookSecrets(ctx context.Context, tenant string) (webhook.Secrets, error) {
	var found webhook.Secrets
	_, err := read(withoutTransaction(ctx), s.webhookSecretsDoc(tenant), &found)
	if isNotFound(err) {
		return s.updateWebhookSecrets(ctx, tenant, func(*webhook.Secrets, time.Time) {})
	}
	return found, err
}

// RotateWebhookSecret replaces the secret that signs the tenant's deliveries.
func (s *Store) RotateWebhookSecret(ctx context.Context, tenant string) (webhook.Secrets, error) {
	return s.updateWebhookSecrets(ctx, tenant, (*webhook.Secrets).Rotate)
}

func (s *Store) updateWebhookSecrets(
	ctx context.Context, tenant string, update func(*webhook.Secrets, time.Time),
) (stored webhook.Secrets, err error) {
	doc := s.webhookSecretsDoc(tenant)
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		stored = webhook.Secrets{}
		now, err := read(tx.Get, doc, &stored)
		if isNotFound(err) {
			stored, err = webhook.NewSecrets(), nil
		}
		if err != nil {
			return err
		}
		update(&stored, now)
		return tx.Set(doc, &stored)
	})
	if errors.Is(err, ErrOutcomeUnknown) {
		// A caller that rotates again would end the secret that receivers still use.
		var found webhook.Secrets
		if _, readErr := read(withoutTransaction(ctx), doc, &found); readErr == nil && found.Current == stored.Current {
			return found, nil
		}
	}
	return stored, err
}
