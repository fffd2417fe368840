package webhookdispatch

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// deliver makes one attempt at a delivery. Claim books the attempt and the time of the next one before the request is
// sent, so an attempt that is interrupted is followed by another. An error means that the store failed. A receiver that
// fails is a result, which the store has.
func (d *Dispatcher) deliver(ctx context.Context, ref webhook.Ref) error {
	claimCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	delivery, now, err := d.config.Store.UpdateDelivery(claimCtx, ref, (*webhook.Delivery).Claim)
	if err != nil || delivery.State != webhook.Pending {
		return d.recordOutcome(delivery, err)
	}
	secrets, err := d.config.Store.WebhookSecrets(claimCtx, ref.Tenant)
	if err != nil {
		return err
	}
	attempt := delivery.Attempt
	result, err := d.send(ctx, &delivery, secrets, now)
	if ctx.Err() != nil {
		return nil // interrupted by the shutdown
	}
	if err != nil {
		d.config.Log.Debug("attempt failed", zap.String("delivery", ref.ID), zap.String("tenant", ref.Tenant), zap.Error(err))
	}
	finishCtx, cancelFinish := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancelFinish()
	delivery, _, err = d.config.Store.UpdateDelivery(finishCtx, ref, func(delivery *webhook.Delivery, now time.Time) error {
		return delivery.RecordResult(attempt, result, now)
	})
	return d.recordOutcome(delivery, err)
}

// recordOutcome logs and counts how an attempt ended. It returns an error of the store.
func (d *Dispatcher) recordOutcome(delivery webhook.Delivery, err error) error {
	if errors.Is(err, webhook.ErrNotDue) { // another dispatcher has it
		return nil
	}
	if err != nil {
		return err
	}
	metrics.WebhookAttempts.WithLabelValues(string(delivery.State)).Inc()
	d.config.Log.Info("webhook attempt finished",
		zap.String("delivery", delivery.ID), zap.String("tenant", delivery.Tenant), zap.Int("attempt", delivery.Attempt),
		zap.String("state", string(delivery.State)), zap.String("subject", delivery.SubjectID),
		zap.Int("status", delivery.LastResult.Status), zap.String("reason", string(delivery.LastResult.Reason)))
	return nil
}
