package queue

import (
	"context"
	"fmt"

	"cloud.google.com/go/pubsub/v2"

	"github.com/airlock-run/airlock/internal/googleclient"
)

// Dial returns a queue over the Pub/Sub of a Google Cloud project, or over an emulator at emulatorHost (host:port) if
// that is not empty. It does not wait for the service to answer. Close closes its connection.
func Dial(ctx context.Context, project, emulatorHost string, options ...Option) (*Queue, error) {
	client, err := pubsub.NewClient(ctx, project, googleclient.Options(emulatorHost)...)
	if err != nil {
		return nil, fmt.Errorf("pubsub: %w", err)
	}
	q := New(client, options...)
	q.closeClient = client.Close
	return q, nil
}
