// Package webhookdispatch sends webhooks to their receivers.
//
// It reads the deliveries that are due, claims each, sends one signed request, and records the result; the store then
// knows when the next attempt is due. All state is in the store: any number of dispatchers may run, and each may die.
//
// It never decides what a webhook says or when it is sent (package webhook does), and it never connects to an address
// that the SSRF guard rejects.
package webhookdispatch

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Interval is the time between two polls of the leader for due deliveries. A poll finds the deliveries for which
// OnExecutionFinished is not called: those of batches, of executions that were canceled in the queue, and all attempts
// after the first.
const Interval = 10 * time.Second

const (
	// pageSize is how many due deliveries one query returns.
	pageSize = 100
	// callTimeout bounds one call of the store.
	callTimeout = 5 * time.Second
)

// Store has the deliveries. Its methods are safe to repeat, by any number of dispatchers.
type Store interface {
	DueDeliveries(ctx context.Context, scan *store.Scan, limit int) ([]store.DueDelivery, error)
	UpdateDelivery(ctx context.Context, ref webhook.Ref, change func(*webhook.Delivery, time.Time) error) (webhook.Delivery, time.Time, error)
	WebhookSecrets(ctx context.Context, tenant string) (webhook.Secrets, error)
}

// Config has the parts and settings of a Dispatcher. All fields are required.
type Config struct {
	Store     Store
	Interval  time.Duration  // between two polls
	Leads     func() bool    // whether this process polls by itself; nil: yes
	Guard     netguard.Guard // of the addresses that tenants name
	UserAgent string         // of the requests
	Log       *zap.Logger
}

// Dispatcher sends the deliveries that are due.
type Dispatcher struct {
	config  Config
	client  *http.Client
	limiter limiter
	failed  *supervise.Backoffs[webhook.Ref] // deliveries that the store could not read or write
	due     store.Scan
	wake    broadcast.Signal // makes Run poll at once
	// moreDue: the last poll returned a full page, so more may be due. Each send that ends then triggers a poll.
	moreDue atomic.Bool
}

// New returns a dispatcher; Run starts it.
func New(c Config) *Dispatcher {
	return &Dispatcher{
		config: c, client: newClient(c.Guard), wake: broadcast.NewSignal(),
		failed: supervise.NewBackoffs[webhook.Ref](supervise.DeliverWebhooks, c.Log, store.IsUnavailable),
	}
}

// OnExecutionFinished makes the dispatcher poll at once when a finished execution has a webhook. It never blocks.
func (d *Dispatcher) OnExecutionFinished(e execution.Execution) {
	if e.Webhook != "" {
		d.wake.Notify()
	}
}

// Run sends until ctx ends, and continues after every error of the store. A delivery that the store cannot read or
// write has a back-off of its own. At the end Run aborts the requests in progress; another dispatcher sends them
// again.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer d.client.CloseIdleConnections()
	var work errgroup.Group // outlasts a poll
	err := supervise.Run(ctx, d.config.Log, "deliver webhooks", func(ctx context.Context) error { return d.pollOften(ctx, &work) })
	return errors.Join(err, work.Wait())
}

// pollOften polls whenever a finished execution has a webhook and, in the process that leads, every Interval. So one
// process of a fleet without deliveries asks for some.
func (d *Dispatcher) pollOften(ctx context.Context, work *errgroup.Group) error {
	tick := time.NewTicker(d.config.Interval)
	defer tick.Stop()
	for woken := false; ; {
		if woken || d.config.Leads == nil || d.config.Leads() {
			if err := d.poll(ctx, work); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			woken = false
		case <-d.wake:
			woken = true
		}
	}
}

// poll starts to send a page of what is due, as far as the limiter allows it. It waits for nothing but the query.
func (d *Dispatcher) poll(ctx context.Context, work *errgroup.Group) error {
	before := d.due
	due, err := d.listDue(ctx)
	if err != nil {
		return err
	}
	d.moreDue.Store(len(due) == pageSize) // before a send can end
	start := func(ref webhook.Ref, f func(context.Context, webhook.Ref) error) {
		work.Go(func() error {
			_ = d.failed.Do(ctx, ref, func(ctx context.Context) error { return f(ctx, ref) })
			d.limiter.release(ref)
			if d.moreDue.Load() {
				d.wake.Notify()
			}
			return nil
		})
	}
	for _, delivery := range due {
		if d.failed.Wait(delivery.Ref) > 0 {
			continue
		}
		switch d.limiter.acquire(delivery.Ref, host(delivery.URL)) {
		case admitted:
			start(delivery.Ref, d.deliver)
		case limited: // Otherwise limited deliveries would be read again by each poll.
			start(delivery.Ref, d.postpone)
		case full:
			d.due = before // the next poll reads this page again
			return nil
		case busy:
		}
	}
	return nil
}

func (d *Dispatcher) listDue(ctx context.Context) ([]store.DueDelivery, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return d.config.Store.DueDeliveries(ctx, &d.due, pageSize)
}

func (d *Dispatcher) postpone(ctx context.Context, ref webhook.Ref) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, _, err := d.config.Store.UpdateDelivery(ctx, ref, (*webhook.Delivery).Postpone)
	if errors.Is(err, webhook.ErrNotDue) {
		return nil
	}
	return err
}

// host returns the part of a URL that the limiter counts by.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // was checked when it was accepted
	}
	return strings.ToLower(u.Host)
}
