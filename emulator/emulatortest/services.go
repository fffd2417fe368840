package emulatortest

import (
	"testing"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
)

// Firestore is a Firestore with a client. The client is closed, and the
// emulator after it, when the test ends.
type Firestore struct {
	*Service
	Client *firestore.Client
}

// StartFirestore starts an emulator; the zero Options keep its data in memory. dial
// is for what stands between client and emulator, such as lost answers.
func StartFirestore(t testing.TB, o firestoreemulator.Options, dialOptions ...grpc.DialOption) *Firestore {
	t.Helper()
	emulator, err := firestoreemulator.Open(o)
	require.NoError(t, err)
	s := newService(t, emulator)
	client, err := firestore.NewClient(t.Context(), Project, s.clientOptions(dialOptions)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return &Firestore{Service: s, Client: client}
}

// PubSub is a Pub/Sub with a client. Both end as those of Firestore do.
type PubSub struct {
	*Service
	Client *pubsub.Client
}

// StartPubSub starts an emulator; the zero Options keep its data in memory.
func StartPubSub(t testing.TB, o pubsubemulator.Options, dialOptions ...grpc.DialOption) *PubSub {
	t.Helper()
	emulator, err := pubsubemulator.Open(o)
	require.NoError(t, err)
	s := newService(t, emulator)
	client, err := pubsub.NewClient(t.Context(), Project, s.clientOptions(dialOptions)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return &PubSub{Service: s, Client: client}
}
