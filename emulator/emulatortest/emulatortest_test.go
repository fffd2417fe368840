package emulatortest_test

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

func TestFirestoreKeepsDataWhileStopped(t *testing.T) {
	t.Parallel()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	doc := f.Client.Collection("c").Doc("d")
	_, err := doc.Create(t.Context(), map[string]any{"n": 1})
	require.NoError(t, err)

	f.Stop()
	f.Stop() // repeatable
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = doc.Get(ctx)
	require.Error(t, err)

	f.Start()
	f.Start()
	snap, err := doc.Get(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, snap.Data()["n"])
}

func TestPubSubKeepsDataWhileStopped(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	topic := &pubsubpb.Topic{Name: "projects/" + emulatortest.Project + "/topics/topic"}
	_, err := p.Client.TopicAdminClient.CreateTopic(t.Context(), topic)
	require.NoError(t, err)
	p.Stop()
	p.Start()
	_, err = p.Client.TopicAdminClient.CreateTopic(t.Context(), topic)
	require.Equal(t, codes.AlreadyExists, status.Code(err))
}
