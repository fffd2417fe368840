package broker

import (
	"bytes"
	"strconv"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// newTestCache returns a cache over a store with the messages 1 to n of this size. The ID of each is its number.
func newTestCache(t *testing.T, n, size int) *messageCache {
	t.Helper()
	st, err := store.Open("", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	batch := st.NewBatch()
	for seq := range uint64(n) {
		batch.PutMessage(seq+1, 1, &pubsubpb.PubsubMessage{MessageId: strconv.Itoa(int(seq + 1)), Data: bytes.Repeat([]byte("x"), size)})
	}
	require.NoError(t, st.CommitNoSync(batch))
	return newMessageCache(st)
}

func ids(messages []*pubsubpb.PubsubMessage) []string {
	var out []string
	for _, m := range messages {
		out = append(out, m.GetMessageId())
	}
	return out
}

func TestCacheReturnsMessagesInRequestOrder(t *testing.T) {
	c := newTestCache(t, 5, 1)
	c.put(2, &pubsubpb.PubsubMessage{MessageId: "2 in memory"})
	got, err := c.get([]uint64{4, 2, 9, 1}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"4", "2 in memory", "", "1"}, ids(got), "9 was deleted")
}

func TestCacheReadsAheadOnce(t *testing.T) {
	c := newTestCache(t, 5, 1)
	calls := 0
	ahead := func(after uint64, _ int) []uint64 {
		calls++
		require.EqualValues(t, 2, after)
		return []uint64{3, 4, 9}
	}
	_, err := c.get([]uint64{1, 2}, ahead)
	require.NoError(t, err)
	got, err := c.get([]uint64{3, 4}, ahead)
	require.NoError(t, err)
	require.Equal(t, []string{"3", "4"}, ids(got))
	require.Equal(t, 1, calls, "messages that were read ahead are in memory")
}

func TestCacheIsBounded(t *testing.T) {
	const size, n = 1 << 20, 40
	c := newTestCache(t, n, size)
	for seq := range uint64(n) {
		got, err := c.get([]uint64{seq + 1}, nil)
		require.NoError(t, err)
		require.Equal(t, []string{strconv.Itoa(int(seq + 1))}, ids(got))
		require.LessOrEqual(t, c.bytes, maxCacheBytes)
		require.Len(t, c.messages, len(c.order))
	}
	require.NotContains(t, c.messages, uint64(1), "the oldest message is evicted first")
	require.Contains(t, c.messages, uint64(n))
}

func TestReadersShareReadAheadBudget(t *testing.T) {
	c := newTestCache(t, 1, 1)
	c.readers.Store(1000)
	_, err := c.get([]uint64{1}, func(_ uint64, bytes int) []uint64 {
		require.LessOrEqual(t, 1000*bytes, maxCacheBytes)
		return nil
	})
	require.NoError(t, err)
}
