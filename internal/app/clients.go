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
type clients struct {
	store     *store.Store
	queue     *queue.Queue
	blobs     *blob.Store
	firestore *firestore.Client
	pubsub    *pubsub.Client
}

// connect makes the clients. It does not wait for the services to answer.
func dial(ctx context.Context, c Cloud) (*clients, error) {
	blobs, err := blob.Open(ctx, c.BlobURL)
	if err != nil {
		return nil, fmt.Errorf("AIRLOCK_BLOB_URL: %w", err)
	}
	fs, err := dialFirestore(ctx, c.Services)
	if err != nil {
		return nil, errors.Join(err, blobs.Close())
	}
	ps, err := pubsub.NewClient(ctx, c.Project, withFastReconnect(emulatorOptions(c.PubSubHost))...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pubsub: %w", err), fs.Close(), blobs.Close())
	}
	return &clients{store: store.New(fs), queue: queue.New(ps), blobs: blobs, firestore: fs, pubsub: ps}, nil
}

func dialFirestore(ctx context.Context, s Services) (*firestore.Client, error) {
	client, err := firestore.NewClient(ctx, s.Project, withDeadConnectionDetection(withFastReconnect(emulatorOptions(s.FirestoreHost, emulatorAdmin{})))...)
	if err != nil {
		return nil, fmt.Errorf("firestore: %w", err)
	}
	return client, nil
}

func (c *clients) close() error {
	c.queue.Close()
	return errors.Join(c.pubsub.Close(), c.firestore.Close(), c.blobs.Close())
}

// emulated returns the options that reach an emulator at host; none when host is empty.
func emulatorOptions(host string, credentials ...emulatorAdmin) []option.ClientOption {
	if host == "" {
		return nil
	}
	opts := []option.ClientOption{
		option.WithEndpoint(host),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
	for _, c := range credentials {
		opts = append(opts, option.WithGRPCDialOption(grpc.WithPerRPCCredentials(c)))
	}
	return opts
}

// owner makes Google's Firestore emulator pass over security rules.
type emulatorAdmin struct{}

func (emulatorAdmin) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

func (emulatorAdmin) RequireTransportSecurity() bool { return false }
