package app

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/store"
)

// LocalProject is the project where there is no cloud.
const LocalProject = "airlock-local"

// connection is a process' way to Firestore, Pub/Sub and blob storage.
type connection struct {
	store     *store.Store
	queue     *queue.Queue
	artifacts *blob.Store
	firestore *firestore.Client
	pubsub    *pubsub.Client
}

// connect makes the clients. It does not wait for the services to answer.
func connect(ctx context.Context, c Cloud) (*connection, error) {
	artifacts, err := blob.Open(ctx, c.BlobURL)
	if err != nil {
		return nil, fmt.Errorf("BLOB_URL: %w", err)
	}
	fs, err := connectFirestore(ctx, c.Services)
	if err != nil {
		return nil, errors.Join(err, artifacts.Close())
	}
	ps, err := pubsub.NewClient(ctx, c.Project, reconnecting(emulated(c.PubSubHost))...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pubsub: %w", err), fs.Close(), artifacts.Close())
	}
	return &connection{store: store.New(fs), queue: queue.New(ps), artifacts: artifacts, firestore: fs, pubsub: ps}, nil
}

func connectFirestore(ctx context.Context, s Services) (*firestore.Client, error) {
	client, err := firestore.NewClient(ctx, s.Project, noticing(reconnecting(emulated(s.FirestoreHost, owner{})))...)
	if err != nil {
		return nil, fmt.Errorf("firestore: %w", err)
	}
	return client, nil
}

func (c *connection) close() error {
	c.queue.Close()
	return errors.Join(c.pubsub.Close(), c.firestore.Close(), c.artifacts.Close())
}

// emulated returns the options that reach an emulator at host; none when host is empty.
func emulated(host string, as ...owner) []option.ClientOption {
	if host == "" {
		return nil
	}
	opts := []option.ClientOption{
		option.WithEndpoint(host),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
	for _, o := range as {
		opts = append(opts, option.WithGRPCDialOption(grpc.WithPerRPCCredentials(o)))
	}
	return opts
}

// owner makes Google's Firestore emulator pass over security rules.
type owner struct{}

func (owner) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

func (owner) RequireTransportSecurity() bool { return false }
