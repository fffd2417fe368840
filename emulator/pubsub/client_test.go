package pubsub_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

func TestClientPublishesAndReceives(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	p := s.Publisher(topicName("topic"))
	defer p.Stop()
	want := make(map[string]string)
	for i := range 500 {
		data := fmt.Sprintf("message %d", i)
		id, err := p.Publish(t.Context(), &gcp.Message{Data: []byte(data), Attributes: map[string]string{"n": fmt.Sprint(i)}}).Get(t.Context())
		if i%100 == 0 {
			require.NoError(t, err)
		}
		want[id] = data
	}
	got := make(map[string]string)
	s.receive(t, func(stop func(), m *gcp.Message) {
		got[m.ID] = string(m.Data)
		m.Ack()
		if len(got) == len(want) {
			stop()
		}
	})
	require.Equal(t, want, got)
	require.Empty(t, s.pull(t, "sub"), "all messages are acknowledged")
}

func TestClientNackRedelivers(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	s.publish(t, textMessages("a")...)
	deliveries := 0
	s.receive(t, func(stop func(), m *gcp.Message) {
		deliveries++
		if deliveries < 3 {
			m.Nack()
			return
		}
		m.Ack()
		stop()
	})
	require.Equal(t, 3, deliveries)
}

func TestClientOrderedMode(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, &pubsubpb.Subscription{EnableMessageOrdering: true})
	p := s.Publisher(topicName("topic"))
	p.EnableMessageOrdering = true
	defer p.Stop()
	const keys, each = 5, 40
	var results []*gcp.PublishResult
	for i := range each {
		for k := range keys {
			results = append(results, p.Publish(t.Context(), &gcp.Message{Data: fmt.Append(nil, i), OrderingKey: fmt.Sprint("k", k)}))
		}
	}
	for _, r := range results {
		_, err := r.Get(t.Context())
		require.NoError(t, err)
	}
	acked := make(map[string][]string)
	delivered := make(map[string][]string)
	nacked := make(map[string]bool)
	s.receive(t, func(stop func(), m *gcp.Message) {
		delivered[m.OrderingKey] = append(delivered[m.OrderingKey], string(m.Data))
		if string(m.Data) == "7" && !nacked[m.OrderingKey] {
			nacked[m.OrderingKey] = true
			m.Nack()
			return
		}
		acked[m.OrderingKey] = append(acked[m.OrderingKey], string(m.Data))
		m.Ack()
		if len(acked) == keys && allAcked(acked, each) {
			stop()
		}
	})
	for key, got := range delivered {
		require.True(t, slices.IsSortedFunc(withoutRedeliveries(got), compareNumbers), "key %s: %v", key, got)
	}
}

// withoutRedeliveries removes repeated deliveries.
func withoutRedeliveries(got []string) []string {
	var out []string
	for _, d := range got {
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

func compareNumbers(a, b string) int {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return cmp.Compare(x, y)
}

func allAcked(acked map[string][]string, each int) bool {
	for _, got := range acked {
		if len(withoutRedeliveries(got)) < each {
			return false
		}
	}
	return true
}

func TestClientExactlyOnce(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, &pubsubpb.Subscription{EnableExactlyOnceDelivery: true})
	s.publish(t, textMessages("a", "b", "c")...)
	ctx, cancel := context.WithCancel(withTimeout(t, 20*time.Second))
	defer cancel()
	var mu sync.Mutex
	results := make(map[string]gcp.AcknowledgeStatus)
	require.NoError(t, s.Subscriber(subName("sub")).Receive(ctx, func(_ context.Context, m *gcp.Message) {
		status, _ := m.AckWithResult().Get(ctx)
		mu.Lock()
		defer mu.Unlock()
		results[string(m.Data)] = status
		if len(results) == 3 {
			cancel()
		}
	}))
	require.Equal(t, map[string]gcp.AcknowledgeStatus{
		"a": gcp.AcknowledgeStatusSuccess, "b": gcp.AcknowledgeStatusSuccess, "c": gcp.AcknowledgeStatusSuccess,
	}, results)
	require.Empty(t, s.pull(t, "sub"))
}

func TestClientExtendsDeadline(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, nil)
	s.publish(t, textMessages("a")...)
	first := s.pull(t, "sub")
	require.Len(t, first, 1)
	_, err := s.subscriber().ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: subName("sub"), AckIds: ackIDs(first), AckDeadlineSeconds: 60,
	})
	require.NoError(t, err)
	c.Advance(59 * time.Second)
	require.Empty(t, s.pull(t, "sub"))
	c.Advance(time.Second)
	require.Equal(t, []string{"a"}, bodies(s.pull(t, "sub")))
}

// receive runs the client's Receive, one callback at a time, until stop.
func (s *service) receive(t testing.TB, f func(stop func(), m *gcp.Message)) {
	t.Helper()
	receive(t, s.Subscriber(subName("sub")), f)
}

func receive(t testing.TB, sub *gcp.Subscriber, f func(stop func(), m *gcp.Message)) {
	t.Helper()
	ctx, cancel := context.WithCancel(withTimeout(t, 20*time.Second))
	defer cancel()
	var mu sync.Mutex
	require.NoError(t, sub.Receive(ctx, func(_ context.Context, m *gcp.Message) {
		mu.Lock()
		defer mu.Unlock()
		f(cancel, m)
	}))
	require.Equal(t, context.Canceled, ctx.Err(), "f called stop before the time-out")
}
