package webhookdispatch

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// deliver makes one attempt at a delivery. Claim books the attempt and the time of the next one before the request is
// sent, so an attempt that is interrupted is followed by another.
func (d *Dispatcher) deliver(ctx context.Context, ref webhook.Ref) {
	log := d.config.Log.With(zap.String("delivery", ref.ID), zap.String("tenant", ref.Tenant))
	defer supervise.RecoverLog(log, "webhook attempt panicked; it will be retried")
	claimCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	delivery, now, err := d.config.Store.UpdateDelivery(claimCtx, ref, (*webhook.Delivery).Claim)
	if err != nil || delivery.State != webhook.Pending {
		d.recordOutcome(ctx, log, delivery, err)
		return
	}
	secrets, err := d.config.Store.WebhookSecrets(claimCtx, ref.Tenant)
	if err != nil {
		d.recordOutcome(ctx, log, delivery, err)
		return
	}
	log = log.With(zap.Int("attempt", delivery.Attempt))
	attempt := delivery.Attempt
	result, err := d.send(ctx, &delivery, secrets, now)
	if ctx.Err() != nil {
		return // interrupted by the shutdown
	}
	if err != nil {
		log.Debug("attempt failed", zap.Error(err))
	}
	finishCtx, cancelFinish := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancelFinish()
	delivery, _, err = d.config.Store.UpdateDelivery(finishCtx, ref, func(delivery *webhook.Delivery, now time.Time) error {
		return delivery.RecordResult(attempt, result, now)
	})
	d.recordOutcome(ctx, log, delivery, err)
}

// recordOutcome logs and counts how an attempt ended, or logs why there was none.
func (d *Dispatcher) recordOutcome(ctx context.Context, log *zap.Logger, delivery webhook.Delivery, err error) {
	switch {
	case errors.Is(err, webhook.ErrNotDue): // another dispatcher has it
	case err != nil && ctx.Err() == nil:
		log.Warn("could not process the delivery; it will be retried", zap.Error(err))
	case err == nil:
		metrics.WebhookAttempts.WithLabelValues(string(delivery.State)).Inc()
		log.Info("webhook attempt finished", zap.String("state", string(delivery.State)), zap.String("subject", delivery.SubjectID),
			zap.Int("status", delivery.LastResult.Status), zap.String("reason", string(delivery.LastResult.Reason)))
	}
}
