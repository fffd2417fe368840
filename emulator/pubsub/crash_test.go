package pubsub_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/crashtest"
	"github.com/airlock-run/airlock/emulator/pubsub"
)

// startServerProcess runs a server in a process of its own. stop kills the process.
func startServerProcess(t testing.TB, dir string) *service {
	t.Helper()
	p := crashtest.Start(t, dir)
	return connect(t, p.Address, p.Kill)
}

func TestKillLosesNoAcknowledgedPublish(t *testing.T) {
	dir := t.TempDir()
	child := startServerProcess(t, dir)
	child.createSub(t, nil)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var (
		mu           sync.Mutex
		acknowledged []string
		publishers   sync.WaitGroup
		enough       = make(chan struct{})
	)
	for range 8 {
		publishers.Go(func() {
			for {
				r, err := child.publisher().Publish(ctx, &pubsubpb.PublishRequest{Topic: topicName("topic"), Messages: textMessages("a", "b", "c")})
				if err != nil {
					return // the server was killed
				}
				mu.Lock()
				if before := len(acknowledged); before < 1500 && before+3 >= 1500 {
					close(enough)
				}
				acknowledged = append(acknowledged, r.MessageIds...)
				mu.Unlock()
			}
		})
	}
	<-enough
	child.stop()
	cancel()
	publishers.Wait()

	s := start(t, pubsub.Options{Dir: dir})
	recovered := make(map[string]bool)
	for got := s.pull(t, "sub"); len(got) > 0; got = s.pull(t, "sub") {
		for _, m := range got {
			recovered[m.Message.MessageId] = true
		}
	}
	for _, id := range acknowledged {
		require.True(t, recovered[id], "message %s was acknowledged to the publisher", id)
	}
	for _, id := range s.publish(t, textMessages("new")...) {
		require.False(t, recovered[id], "the server never uses an ID again")
	}
}

func TestKillKeepsExactlyOnceAcks(t *testing.T) {
	dir := t.TempDir()
	child := startServerProcess(t, dir)
	child.createSub(t, &pubsubpb.Subscription{EnableExactlyOnceDelivery: true})
	child.publish(t, textMessages("a", "b", "c")...)
	before := child.pull(t, "sub")
	require.Len(t, before, 3)
	child.ack(t, "sub", before[:2]...)
	child.stop()

	s := start(t, pubsub.Options{Dir: dir})
	require.Equal(t, []string{"c"}, bodies(s.pull(t, "sub")))
	err := s.tryAck(t, "sub", ackIDs(before[2:])...)
	require.Equal(t, map[string]string{before[2].AckId: "PERMANENT_FAILURE_INVALID_ACK_ID"}, errorInfo(t, err), "the end of the process ends all leases")
}

// BenchmarkRecover measures how long Open takes after a kill with 100,000 waiting messages of 1 KiB, and how much heap
// the server then needs.
func BenchmarkRecover(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		child := startServerProcess(b, dir)
		publishBacklog(b, child, 100_000)
		child.stop()
		before := heap()
		began := time.Now()
		server, err := pubsub.Open(pubsub.Options{Dir: dir})
		require.NoError(b, err)
		b.ReportMetric(time.Since(began).Seconds(), "s/recovery")
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-heap")
		require.NoError(b, server.Close())
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSubscriptionLifecycle measures the creation and deletion of a subscription.
func BenchmarkSubscriptionLifecycle(b *testing.B) {
	s := startDurable(b)
	s.createTopic(b, "topic")
	for b.Loop() {
		s.createSubOnly(b, "mine", &pubsubpb.Subscription{})
		_, err := s.subscriber().DeleteSubscription(b.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: subName("mine")})
		require.NoError(b, err)
	}
}
