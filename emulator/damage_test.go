package emulator_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/emulator"
)

// flips is the number of single bytes that TestFlippedByte changes.
const flips = 20

// TestFlippedByte changes one byte of a data folder. The start is refused, or all that was acknowledged is there.
func TestFlippedByte(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	for part := range 2 {
		r := startEmulators(t, dir)
		r.write(t, part)
		if part == 0 {
			r.stop(t)
			continue
		}
		killed := copyFolder(t, dir)
		r.stop(t)
		dir = killed
	}
	requireAcknowledged(t, copyFolder(t, dir), "no damage")

	var files []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if info, _ := e.Info(); err == nil && !e.IsDir() && info.Size() > 0 {
			files = append(files, path)
		}
		return err
	}))
	refused := 0
	for range flips {
		file := files[random.IntN(len(files))]
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		at, bit := random.IntN(len(content)), byte(1)<<random.IntN(8)
		content[at] ^= bit
		name, err := filepath.Rel(dir, file)
		require.NoError(t, err)
		damaged := copyFolder(t, dir)
		require.NoError(t, os.WriteFile(filepath.Join(damaged, name), content, 0o600))
		what := fmt.Sprintf("%s: byte %d of %d xor %#x", name, at, len(content), bit)
		e, err := emulator.Start(t.Context(), options(damaged))
		if err != nil {
			require.ErrorAs(t, err, new(*emulator.CorruptError), what)
			require.ErrorContains(t, err, "move the folder away", what)
			refused++
			continue
		}
		require.NoError(t, e.Close())
		requireAcknowledged(t, damaged, what)
	}
	t.Logf("%d of %d starts were refused", refused, flips)
	require.NotZero(t, refused)
}

const (
	topicOfTest        = "projects/p/topics/topic"
	subscriptionOfTest = "projects/p/subscriptions/reader"
	writesOfPart       = 60
)

// running are emulators with clients.
type running struct {
	firestore *firestore.Client
	pubsub    *grpc.ClientConn
	end       context.CancelFunc
	ended     chan error
}

func startEmulators(t *testing.T, dir string) *running {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	e, err := emulator.Start(ctx, options(dir))
	require.NoError(t, err)
	r := &running{end: end, ended: make(chan error, 1)}
	go func() { r.ended <- e.Serve(ctx) }()
	r.firestore, err = firestore.NewClient(t.Context(), "p", option.WithEndpoint(e.Firestore), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	require.NoError(t, err)
	r.pubsub, err = grpc.NewClient(e.PubSub, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	return r
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, errors.Join(r.firestore.Close(), r.pubsub.Close()))
	r.end()
	require.NoError(t, <-r.ended)
}

// text returns the content of document and message i, which does not compress.
func text(i int) string {
	r := rand.New(rand.NewPCG(7, uint64(i)))
	b := make([]byte, 300)
	for j := range b {
		b[j] = byte(' ' + r.IntN(90))
	}
	return string(b)
}

// write stores one document and one message at a time, each of them acknowledged.
func (r *running) write(t *testing.T, part int) {
	t.Helper()
	publisher := pubsubpb.NewPublisherClient(r.pubsub)
	if part == 0 {
		_, err := publisher.CreateTopic(t.Context(), &pubsubpb.Topic{Name: topicOfTest})
		require.NoError(t, err)
		_, err = pubsubpb.NewSubscriberClient(r.pubsub).CreateSubscription(t.Context(), &pubsubpb.Subscription{
			Name: subscriptionOfTest, Topic: topicOfTest})
		require.NoError(t, err)
	}
	for i := part * writesOfPart; i < (part+1)*writesOfPart; i++ {
		_, err := r.firestore.Doc(fmt.Sprintf("c/%d", i)).Set(t.Context(), map[string]any{"text": text(i)})
		require.NoError(t, err)
		_, err = publisher.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: topicOfTest,
			Messages: []*pubsubpb.PubsubMessage{{Data: []byte(text(i))}}})
		require.NoError(t, err)
	}
}

// requireAcknowledged opens a folder and reads everything that write has stored.
func requireAcknowledged(t *testing.T, dir, context string) {
	t.Helper()
	r := startEmulators(t, dir)
	defer r.stop(t)
	documents, err := r.firestore.Collection("c").Documents(t.Context()).GetAll()
	require.NoError(t, err, context)
	found := map[string]bool{}
	for _, d := range documents {
		found["document "+d.Data()["text"].(string)] = true
	}
	for {
		pulled, err := pubsubpb.NewSubscriberClient(r.pubsub).Pull(t.Context(), &pubsubpb.PullRequest{
			Subscription: subscriptionOfTest, MaxMessages: 1000, ReturnImmediately: true}) //nolint:staticcheck // an empty answer ends the loop
		require.NoError(t, err, context)
		if len(pulled.ReceivedMessages) == 0 {
			break
		}
		for _, m := range pulled.ReceivedMessages {
			found["message "+string(m.Message.Data)] = true
		}
	}
	for i := range 2 * writesOfPart {
		require.True(t, found["document "+text(i)], "%s: document %d", context, i)
		require.True(t, found["message "+text(i)], "%s: message %d", context, i)
	}
}

// copyFolder returns a copy of the folder, as a kill of the process would leave it.
func copyFolder(t *testing.T, dir string) string {
	t.Helper()
	for {
		to := t.TempDir()
		err := os.CopyFS(to, os.DirFS(dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a file that was not needed any more was removed meanwhile
		}
		require.NoError(t, err)
		return to
	}
}
