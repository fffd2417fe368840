package pubsub_test

import (
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
)

// BenchmarkSeek measures snapshots and seeks with 100,000 messages of 1 KiB, in milliseconds.
func BenchmarkSeek(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		s := startDurable(b)
		began := time.Now()
		publishBacklog(b, s, n)
		step := func(name string, f func()) {
			start := time.Now()
			f()
			b.ReportMetric(float64(time.Since(start).Microseconds())/1000, name+"-ms")
		}
		step("snapshot", func() { s.snapshot(b, "snap", "sub") })
		step("forward", func() { s.seekTime(b, "sub", time.Now().Add(time.Second)) })
		step("to-snapshot", func() { require.NoError(b, s.seekSnapshot(b, "sub", "snap")) })
		step("again", func() { s.seekTime(b, "sub", began) })
		s.createSubOnly(b, "filtered", &pubsubpb.Subscription{Filter: "NOT attributes:a"})
		step("filtered", func() { require.NoError(b, s.seekSnapshot(b, "filtered", "snap")) })
		step("detach", func() {
			_, err := s.publisher().DetachSubscription(b.Context(), &pubsubpb.DetachSubscriptionRequest{Subscription: subName("filtered")})
			require.NoError(b, err)
		})
		require.Len(b, s.pull(b, "sub"), 1000)
		s.stop()
	}
}
