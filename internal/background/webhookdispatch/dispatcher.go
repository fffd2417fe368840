// Package courier takes webhooks to their receivers. What there is to take, and
// when it is tried again, is in the store, so that a courier keeps nothing: any
// number may run, and any of them may die.
package webhookdispatch

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// Interval between two looks at what is due, which finds the first attempts
// that nobody pokes for, and all others.
const Interval = time.Second

const (
	// page is how many due deliveries one query returns.
	pageSize = 100
	// callTimeout bounds what is asked of the store at a time.
	callTimeout = 5 * time.Second
)

// Store is where deliveries are. Its methods are safe to repeat, by any number
// of couriers.
type Store interface {
	Now(ctx context.Context) (time.Time, error)
	DueDeliveries(ctx context.Context, now time.Time, limit int) ([]store.DueDelivery, error)
	UpdateDelivery(ctx context.Context, ref webhook.Ref, change func(*webhook.Delivery, time.Time) error) (webhook.Delivery, time.Time, error)
	WebhookSecrets(ctx context.Context, tenant string) (webhook.Secrets, error)
}

// Config says how a courier works.
type Config struct {
	Interval  time.Duration  // between two looks
	Guard     netguard.Guard // of the addresses that tenants name
	UserAgent string         // how requests name their sender (User-Agent)
}

// Courier sends what is due.
type Dispatcher struct {
	config    Config
	store     Store
	log       *zap.Logger
	client    *http.Client
	limiter   limiter
	notified  chan struct{}
	slotFreed chan struct{}
}

// New returns a courier; Run starts it.
func New(c Config, s Store, log *zap.Logger) *Dispatcher {
	return &Dispatcher{
		config: c, store: s, log: log, client: newClient(c.Guard),
		notified: make(chan struct{}, 1), slotFreed: make(chan struct{}, 1),
	}
}

// Ended makes the courier look at once when somebody is to be told of the end.
// It never blocks.
func (c *Dispatcher) OnExecutionFinished(e execution.Execution) {
	if e.Webhook != "" {
		notify(c.notified)
	}
}

// Run sends until ctx ends, through any fault of the store. What is under way
// then is cut short, and tried again by another courier.
func (c *Dispatcher) Run(ctx context.Context) error {
	defer c.client.CloseIdleConnections()
	var sends errgroup.Group // outlives a look that fails
	err := supervise.Run(ctx, c.log, "deliver webhooks", func(ctx context.Context) error {
		tick := time.NewTicker(c.config.Interval)
		defer tick.Stop()
		for {
			more, err := c.poll(ctx, &sends)
			if err != nil {
				return err
			}
			slotFreed := c.slotFreed
			if !more {
				slotFreed = nil
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			case <-c.notified:
			case <-slotFreed:
			}
		}
	})
	return errors.Join(err, sends.Wait())
}

// look begins to send what is due, as far as there is room, and reports whether
// there may be more than that.
func (c *Dispatcher) poll(ctx context.Context, sends *errgroup.Group) (more bool, err error) {
	due, err := c.listDue(ctx)
	if err != nil {
		return false, err
	}
	var postpones errgroup.Group
	for _, d := range due {
		switch c.limiter.acquire(d.Ref, host(d.URL)) {
		case admitted:
			sends.Go(func() error {
				defer notify(c.slotFreed)
				defer c.limiter.release(d.Ref)
				c.deliver(ctx, d.Ref)
				return nil
			})
		case throttled: // it would be in the way of those behind it
			postpones.Go(func() error {
				return c.changeDelivery(ctx, d.Ref, (*webhook.Delivery).Postpone)
			})
		case alreadySending, full:
		}
	}
	return len(due) == pageSize, postpones.Wait()
}

func (c *Dispatcher) listDue(ctx context.Context) ([]store.DueDelivery, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now, err := c.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	return c.store.DueDeliveries(ctx, now, pageSize)
}

// deliver makes one attempt.
func (c *Dispatcher) deliver(ctx context.Context, ref webhook.Ref) {
	log := c.log.With(zap.String("delivery", ref.ID), zap.String("tenant", ref.Tenant))
	defer supervise.RecoverLog(log, "an attempt at a delivery broke off; it falls due again")
	claimCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	d, now, err := c.store.UpdateDelivery(claimCtx, ref, (*webhook.Delivery).Claim)
	if err != nil || d.State != webhook.Pending {
		c.recordOutcome(ctx, log, d, err)
		return
	}
	secrets, err := c.store.WebhookSecrets(claimCtx, ref.Tenant)
	if err != nil {
		c.recordOutcome(ctx, log, d, err)
		return
	}
	log = log.With(zap.Int("attempt", d.Attempt))
	attempt := d.Attempt
	outcome, err := c.send(ctx, &d, secrets, now)
	if ctx.Err() != nil {
		return // cut short: the attempt that was booked follows
	}
	if err != nil {
		log.Debug("attempt failed", zap.Error(err))
	}
	finishCtx, cancelFinish := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancelFinish()
	d, _, err = c.store.UpdateDelivery(finishCtx, ref, func(d *webhook.Delivery, now time.Time) error {
		return d.RecordResult(attempt, outcome, now)
	})
	c.recordOutcome(ctx, log, d, err)
}

// report says how an attempt ended, or why there was none.
func (c *Dispatcher) recordOutcome(ctx context.Context, log *zap.Logger, d webhook.Delivery, err error) {
	switch {
	case errors.Is(err, webhook.ErrNotDue): // another courier's
	case err != nil && ctx.Err() == nil:
		log.Warn("could not look after a delivery; it falls due again", zap.Error(err))
	case err == nil:
		metrics.WebhookAttempts.WithLabelValues(string(d.State)).Inc()
		log.Info("webhook", zap.String("state", string(d.State)), zap.String("subject", d.SubjectID),
			zap.Int("status", d.LastResult.Status), zap.String("reason", string(d.LastResult.Reason)))
	}
}

func (c *Dispatcher) changeDelivery(ctx context.Context, ref webhook.Ref, change func(*webhook.Delivery, time.Time) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, _, err := c.store.UpdateDelivery(ctx, ref, change)
	if errors.Is(err, webhook.ErrNotDue) {
		return nil
	}
	return err
}

// host is what a share of the room is of.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // checked when it was accepted
	}
	return strings.ToLower(u.Host)
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it will look anyway
	}
}
