package e2e

import (
	"os"
	"path/filepath"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// nothingLeft requires that no container, socket or message remains.
func (l *faultCluster) requireCleanedUp() {
	l.t.Helper()
	for _, name := range l.executorNames {
		l.executorName = name
		l.awaitNoContainers()
	}
	entries, err := os.ReadDir(filepath.Join(l.socketDir, "egress"))
	require.True(l.t, err == nil || os.IsNotExist(err), "%v", err)
	require.Empty(l.t, entries, "a socket is left")
	require.Empty(l.t, l.pendingMessages(), "a message is left")
}

// messages are the IDs of those that nobody has acknowledged: they wait for an
// executor, or to be looked at by a person, or somebody has taken them who may be dead.
func (l *faultCluster) pendingMessages() (ids []string) {
	l.t.Helper()
	for _, name := range []string{"executions-interactive", "executions-batch", "executions-dead-letter"} {
		ids = append(ids, l.unacknowledged(name)...)
	}
	return ids
}

// unacknowledged reads a snapshot of a subscription by another one, so that no
// message is missed that is taken just now, and none counts as delivered.
func (l *faultCluster) unacknowledged(subscription string) (ids []string) {
	l.t.Helper()
	const project = "projects/" + emulatortest.Project
	ctx, admin := l.t.Context(), l.pubsub.SubscriptionAdminClient
	snapshot, err := admin.CreateSnapshot(ctx, &pubsubpb.CreateSnapshotRequest{
		Name: project + "/snapshots/" + id.New("snap-"), Subscription: project + "/subscriptions/" + subscription,
	})
	require.NoError(l.t, err)
	reader, err := admin.CreateSubscription(ctx, &pubsubpb.Subscription{Name: project + "/subscriptions/" + id.New("reader-"), Topic: snapshot.Topic})
	require.NoError(l.t, err)
	_, err = admin.Seek(ctx, &pubsubpb.SeekRequest{Subscription: reader.Name, Target: &pubsubpb.SeekRequest_Snapshot{Snapshot: snapshot.Name}})
	require.NoError(l.t, err)
	//nolint:staticcheck // The emulator answers at once, which is what is wanted here.
	got, err := admin.Pull(ctx, &pubsubpb.PullRequest{Subscription: reader.Name, MaxMessages: 100, ReturnImmediately: true})
	require.NoError(l.t, err)
	for _, m := range got.ReceivedMessages {
		ids = append(ids, m.Message.MessageId)
	}
	require.NoError(l.t, admin.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: reader.Name}))
	require.NoError(l.t, admin.DeleteSnapshot(ctx, &pubsubpb.DeleteSnapshotRequest{Snapshot: snapshot.Name}))
	return ids
}
