// Package backend connects a service to Firestore, Pub/Sub and blob storage. Their addresses come in; a store, a queue
// and a blob store go out, to be closed together. It never waits for a service to answer: the services retry by
// themselves.
package backend

import (
	"context"
	"errors"
	"fmt"

	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/store"
)

// Backend is everything that stores or carries data for a service.
type Backend struct {
	Store *store.Store
	Queue *queue.Queue
	Blobs *blob.Store
}

// Connect opens all three. Close the Backend after its last use.
func Connect(ctx context.Context, c config.Cloud) (*Backend, error) {
	blobs, err := blob.Open(ctx, c.BlobURL)
	if err != nil {
		return nil, fmt.Errorf("AIRLOCK_BLOB_URL: %w", err)
	}
	s, err := store.Dial(ctx, c.Project, c.FirestoreHost)
	if err != nil {
		return nil, errors.Join(err, blobs.Close())
	}
	var options []queue.Option
	if !c.PubSubManage {
		options = append(options, queue.Unmanaged)
	}
	q, err := queue.Dial(ctx, c.Project, c.PubSubHost, options...)
	if err != nil {
		return nil, errors.Join(err, s.Close(), blobs.Close())
	}
	return &Backend{Store: s, Queue: q, Blobs: blobs}, nil
}

// Close sends what the queue still buffers, then closes all connections.
func (b *Backend) Close() error {
	b.Queue.Close()
	return errors.Join(b.Store.Close(), b.Blobs.Close())
}
