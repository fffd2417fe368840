package pubsub_test

import (
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

// TestSeekLargeBacklog seeks with many messages and checks that none is lost, also after a restart. BenchmarkSeek
// measures the time.
func TestSeekLargeBacklog(t *testing.T) {
	const n = 20_000
	dir := t.TempDir()
	s := start(t, pubsub.Options{Dir: dir})
	s.createSub(t, &pubsubpb.Subscription{RetainAckedMessages: true})
	s.createSubOnly(t, "odd", &pubsubpb.Subscription{Filter: "attributes:odd"})
	began := time.Now()
	for range n / 1000 {
		batch := make([]*pubsubpb.PubsubMessage, 1000)
		for i := range batch {
			batch[i] = &pubsubpb.PubsubMessage{Data: []byte("x")}
			if i%2 == 1 {
				batch[i].Attributes = map[string]string{"odd": ""}
			}
		}
		s.publish(t, batch...)
	}
	s.snapshot(t, "snap", "sub")
	s.seekTime(t, "sub", time.Now().Add(time.Second))
	require.Empty(t, s.pull(t, "sub"))
	s.seekTime(t, "sub", began.Add(-time.Second))
	require.Len(t, s.pullAll(t, "sub"), n)
	s.seekTime(t, "odd", time.Now().Add(time.Second))
	require.NoError(t, s.seekSnapshot(t, "odd", "snap"))
	s.stop()

	s = start(t, pubsub.Options{Dir: dir})
	require.Len(t, s.pullAll(t, "odd"), n/2)
	require.Len(t, s.pullAll(t, "sub"), n)
}
