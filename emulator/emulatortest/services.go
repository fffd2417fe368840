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

// Firestore is a running Firestore emulator with a client.
type Firestore struct {
	*Service
	Server *firestoreemulator.Server
	Client *firestore.Client
}

// StartFirestore starts an emulator until the test ends. The zero Options keep its data in memory. The dial options
// are for the clients, for example an interceptor that loses replies.
func StartFirestore(t testing.TB, o firestoreemulator.Options, dialOptions ...grpc.DialOption) *Firestore {
	t.Helper()
	server, err := firestoreemulator.Open(o)
	require.NoError(t, err)
	s := newService(t, server, dialOptions)
	return &Firestore{Service: s, Server: server, Client: newClient(s, firestore.NewClient)}
}

// PubSub is a running Pub/Sub emulator with a client.
type PubSub struct {
	*Service
	Server *pubsubemulator.Server
	Client *pubsub.Client
}

// StartPubSub starts an emulator until the test ends. Its parameters are like those of StartFirestore.
func StartPubSub(t testing.TB, o pubsubemulator.Options, dialOptions ...grpc.DialOption) *PubSub {
	t.Helper()
	server, err := pubsubemulator.Open(o)
	require.NoError(t, err)
	s := newService(t, server, dialOptions)
	return &PubSub{Service: s, Server: server, Client: newClient(s, pubsub.NewClient)}
}
