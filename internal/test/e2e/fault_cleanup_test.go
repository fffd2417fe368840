package e2e

import (
	"os"
	"path/filepath"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// requireCleanedUp requires that no container, socket or message is left.
func (l *faultCluster) requireCleanedUp() {
	l.t.Helper()
	for _, name := range l.executorNames {
		l.executorName = name
		l.awaitNoContainers()
	}
	entries, err := os.ReadDir(filepath.Join(l.socketDir, "egress"))
	require.True(l.t, err == nil || os.IsNotExist(err), "%v", err)
	require.Empty(l.t, entries, "an executor left a socket")
	require.Empty(l.t, l.pendingMessages(), "a message is not acknowledged")
}

// pendingMessages returns the IDs of all messages that are not acknowledged, delivered or not, and those of the dead
// letters.
func (l *faultCluster) pendingMessages() (ids []string) {
	l.t.Helper()
	request := &pubsubpb.ListSubscriptionsRequest{Project: "projects/" + emulatortest.Project}
	var names []string
	for s, err := range l.pubsub.SubscriptionAdminClient.ListSubscriptions(l.t.Context(), request).All() {
		require.NoError(l.t, err)
		names = append(names, s.Name)
	}
	for _, name := range names {
		ids = append(ids, l.unacknowledged(name)...)
	}
	return ids
}

// unacknowledged reads a snapshot of a subscription through another
// subscription. So it also sees messages that an executor holds, and it does not
// count as a delivery.
func (l *faultCluster) unacknowledged(subscription string) (ids []string) {
	l.t.Helper()
	const project = "projects/" + emulatortest.Project
	ctx, admin := l.t.Context(), l.pubsub.SubscriptionAdminClient
	snapshot, err := admin.CreateSnapshot(ctx, &pubsubpb.CreateSnapshotRequest{
		Name: project + "/snapshots/" + id.New("snap-"), Subscription: subscription,
	})
	require.NoError(l.t, err)
	reader, err := admin.CreateSubscription(ctx, &pubsubpb.Subscription{Name: project + "/subscriptions/" + id.New("reader-"), Topic: snapshot.Topic})
	require.NoError(l.t, err)
	_, err = admin.Seek(ctx, &pubsubpb.SeekRequest{Subscription: reader.Name, Target: &pubsubpb.SeekRequest_Snapshot{Snapshot: snapshot.Name}})
	require.NoError(l.t, err)
	//nolint:staticcheck // The call must return immediately when there is no message.
	got, err := admin.Pull(ctx, &pubsubpb.PullRequest{Subscription: reader.Name, MaxMessages: 100, ReturnImmediately: true})
	require.NoError(l.t, err)
	for _, m := range got.ReceivedMessages {
		ids = append(ids, m.Message.MessageId)
	}
	require.NoError(l.t, admin.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: reader.Name}))
	require.NoError(l.t, admin.DeleteSnapshot(ctx, &pubsubpb.DeleteSnapshotRequest{Snapshot: snapshot.Name}))
	return ids
}
