package store_test

import (
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, nil)
	require.NoError(t, err)
	return s
}

func collect[T any](t *testing.T, scan func(func(T) error) error) []T {
	t.Helper()
	var out []T
	require.NoError(t, scan(func(v T) error {
		out = append(out, v)
		return nil
	}))
	return out
}

func entries(t *testing.T, s *store.Store, sub uint64) []store.Entry {
	t.Helper()
	return collect(t, func(f func(store.Entry) error) error { return s.Entries(sub, f) })
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	topic := store.Topic{ID: 1, Config: &pubsubpb.Topic{Name: "projects/p/topics/a"}}
	sub := store.Subscription{ID: 2, Topic: 1, Config: &pubsubpb.Subscription{Name: "projects/p/subscriptions/a", Filter: "attributes:a"}}
	snap := store.Snapshot{Topic: 1, NextSeq: 9, Unacked: []uint64{3, 4, 700}, Config: &pubsubpb.Snapshot{Name: "projects/p/snapshots/a"}}
	at := time.UnixMicro(1_700_000_000_000_001)
	want := []store.Entry{
		{Seq: 3, Size: 5, Key: "k", Published: at, Failures: 2},
		{Seq: 4, Size: 0, Published: at, Acked: true},
	}
	body := &pubsubpb.PubsubMessage{Data: []byte("hello"), MessageId: "3"}

	b := s.NewBatch()
	b.PutTopic(topic)
	b.PutSubscription(sub)
	b.PutSnapshot(snap)
	b.PutLastUsed(sub.ID, at)
	b.PutMessage(3, topic.ID, body)
	for _, e := range want {
		b.PutEntry(sub.ID, e)
	}
	b.PutEntry(sub.ID+1, store.Entry{Seq: 3, Published: at})
	require.NoError(t, s.Commit(b))
	epoch := s.Epoch
	require.NoError(t, s.Close())

	s = open(t, dir)
	defer func() { require.NoError(t, s.Close()) }()
	require.Equal(t, epoch+1, s.Epoch)
	diff := func(want, got any) { t.Helper(); require.Empty(t, cmp.Diff(want, got, protocmp.Transform())) }
	diff([]store.Topic{topic}, collect(t, s.Topics))
	diff([]store.Subscription{sub}, collect(t, s.Subscriptions))
	diff([]store.Snapshot{snap}, collect(t, s.Snapshots))
	diff(want, entries(t, s, sub.ID))
	require.NoError(t, s.MessagesBySeq([]uint64{2, 3, 4}, func(seq uint64, got *pubsubpb.PubsubMessage) {
		require.EqualValues(t, 3, seq)
		diff(body, got)
	}))
	used, err := s.LastUsed(sub.ID)
	require.NoError(t, err)
	require.True(t, used.Equal(at))
	require.NoError(t, s.Messages(func(seq uint64, body func() (uint64, *pubsubpb.PubsubMessage, error)) error {
		topic, m, err := body()
		require.NoError(t, err)
		require.EqualValues(t, 3, seq)
		require.EqualValues(t, 1, topic)
		require.Equal(t, "hello", string(m.Data))
		return nil
	}))
}

func TestDelete(t *testing.T) {
	s := open(t, "")
	defer func() { require.NoError(t, s.Close()) }()
	b := s.NewBatch()
	for seq := range uint64(3) {
		b.PutEntry(7, store.Entry{Seq: seq})
		b.PutEntry(8, store.Entry{Seq: seq})
		b.PutMessage(seq, 1, &pubsubpb.PubsubMessage{})
	}
	require.NoError(t, s.CommitNoSync(b))
	b = s.NewBatch()
	b.DeleteEntries(7)
	b.DeleteEntry(8, 1)
	b.DeleteMessage(1)
	require.NoError(t, s.CommitNoSync(b))
	require.Empty(t, entries(t, s, 7))
	require.Len(t, entries(t, s, 8), 2)
	var left []uint64
	require.NoError(t, s.MessagesBySeq([]uint64{0, 1, 2}, func(seq uint64, _ *pubsubpb.PubsubMessage) { left = append(left, seq) }))
	require.Equal(t, []uint64{0, 2}, left)
	used, err := s.LastUsed(7)
	require.NoError(t, err)
	require.Zero(t, used)
}
