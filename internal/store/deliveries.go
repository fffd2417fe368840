package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// createDelivery stores a delivery in the transaction that ends its subject. A nil delivery stores nothing.
func (s *Store) createDelivery(tx *firestore.Transaction, d *webhook.Delivery) error {
	if d == nil {
		return nil
	}
	return tx.Create(s.deliveryDoc(d.Ref()), d)
}

// UpdateDelivery is the only way to change a stored delivery. update is a method of webhook.Delivery. It may be called
// more than once, each time with the stored delivery. Its error is returned. UpdateDelivery also returns Firestore's
// time.
func (s *Store) UpdateDelivery(
	ctx context.Context, ref webhook.Ref, update func(*webhook.Delivery, time.Time) error,
) (d webhook.Delivery, now time.Time, err error) {
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		d = webhook.Delivery{}
		now, err = read(tx.Get, s.deliveryDoc(ref), &d)
		if err != nil {
			return err
		}
		if err := update(&d, now); err != nil {
			return err
		}
		return tx.Set(s.deliveryDoc(ref), &d)
	})
	return d, now, err
}

// Delivery returns the tenant's delivery, or a NotFoundError.
func (s *Store) Delivery(ctx context.Context, ref webhook.Ref) (webhook.Delivery, error) {
	var d webhook.Delivery
	_, err := read(withoutTransaction(ctx), s.deliveryDoc(ref), &d)
	return d, err
}

// Deliveries returns a page of the tenant's deliveries, the newest first.
func (s *Store) Deliveries(ctx context.Context, tenant string, p Page) ([]webhook.Delivery, error) {
	return list[webhook.Delivery](ctx, p.apply(s.collection(tenant, deliveries).Query, "createdAt"))
}
