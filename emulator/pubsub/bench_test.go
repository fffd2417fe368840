package pubsub_test

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

// Each benchmark measures a durable server and pstest, Google's fake in memory. It reports both rates and their ratio:
//
//	go test -run - -bench . -benchtime 1x
//
// ns/op has no meaning here. pstest gets fewer messages to receive, see messageCount.

func startDurable(b *testing.B) *service { return start(b, pubsub.Options{Dir: b.TempDir()}) }

func startFake(b *testing.B) *service {
	server := pstest.NewServer()
	return connect(b, server.Addr, func() { _ = server.Close() })
}

// compare reports the rate that f returns for each of the two.
func compare(b *testing.B, f func(b *testing.B, s *service) float64) {
	measure := func(start func(*testing.B) *service) func() float64 {
		return func() float64 {
			s := start(b)
			defer s.stop()
			return f(b, s)
		}
	}
	reportRatio(b, measurement{"msg/s", measure(startDurable)}, measurement{"pstest-msg/s", measure(startFake)})
}

type measurement struct {
	unit string
	rate func() float64
}

// reportRatio measures both alternately, and reports the medians of the rates and of their ratio.
func reportRatio(b *testing.B, m, base measurement) {
	var rates, bases, ratios []float64
	for b.Loop() {
		runtime.GC() // so that neither measurement includes the garbage of the other
		rates = append(rates, m.rate())
		runtime.GC()
		bases = append(bases, base.rate())
		ratios = append(ratios, rates[len(rates)-1]/bases[len(bases)-1])
	}
	b.ReportMetric(median(rates), m.unit)
	b.ReportMetric(median(bases), base.unit)
	b.ReportMetric(median(ratios), "ratio")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func BenchmarkPublishBatched(b *testing.B) {
	compare(b, func(b *testing.B, s *service) float64 {
		s.createSub(b, nil)
		const publishers, each = 32, 2000
		p := s.Publisher(topicName("topic"))
		defer p.Stop()
		return perSecond(publishers*each, func() {
			g, ctx := errgroup.WithContext(b.Context())
			for range publishers {
				g.Go(func() error { return publishAll(ctx, p, each) })
			}
			require.NoError(b, g.Wait())
		})
	})
}

func publishAll(ctx context.Context, p *gcp.Publisher, n int) error {
	data := bytes.Repeat([]byte("x"), 1024)
	results := make([]*gcp.PublishResult, n)
	for i := range results {
		results[i] = p.Publish(ctx, &gcp.Message{Data: data})
	}
	for _, r := range results {
		if _, err := r.Get(ctx); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkPublishSingle publishes one message per call and waits for each.
func BenchmarkPublishSingle(b *testing.B) {
	compare(b, func(b *testing.B, s *service) float64 {
		s.createSub(b, nil)
		const publishers, each = 32, 200
		data := bytes.Repeat([]byte("x"), 1024)
		return perSecond(publishers*each, func() {
			g, ctx := errgroup.WithContext(b.Context())
			for range publishers {
				g.Go(func() error {
					for range each {
						if _, err := s.publisher().Publish(ctx, &pubsubpb.PublishRequest{
							Topic: topicName("topic"), Messages: []*pubsubpb.PubsubMessage{{Data: data}},
						}); err != nil {
							return err
						}
					}
					return nil
				})
			}
			require.NoError(b, g.Wait())
		})
	})
}

// BenchmarkReceive measures the client's Receive with its default flow control.
func BenchmarkReceive(b *testing.B) {
	compare(b, func(b *testing.B, s *service) float64 { return fillAndReceiveRate(b, s, s.messageCount(20_000), 1000) })
}

// BenchmarkStreamTenOutstanding allows ten outstanding messages and acknowledges each on the stream at once, which
// Receive does not: it sends acknowledgements every 100 ms.
func BenchmarkStreamTenOutstanding(b *testing.B) {
	compare(b, func(b *testing.B, s *service) float64 { return fillAndStreamRate(b, s, s.messageCount(20_000), 10) })
}

// BenchmarkReceiveTenOutstanding measures this limit of Receive: ten acknowledgements every 100 ms.
func BenchmarkReceiveTenOutstanding(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(fillAndReceiveRate(b, startDurable(b), 200, 10), "msg/s")
	}
}

// BenchmarkDeliveryByBacklogSize compares the rates with a large and a small backlog: it receives the same number of
// messages and leaves 100,000 or 1,000. The acknowledgements limit the rate of Receive. A raw stream has no such limit,
// so its rates show the cost of reading from disk.
func BenchmarkDeliveryByBacklogSize(b *testing.B) {
	for _, c := range []struct {
		name                string
		measure             func(b *testing.B, s *service, n, outstanding int) float64
		sample, outstanding int
	}{
		{"Stream10", streamingPullRate, 40_000, 10},
		{"Stream100", streamingPullRate, 40_000, 100},
		{"Receive", clientReceiveRate, 20_000, 1000},
	} {
		b.Run(c.name, func(b *testing.B) {
			depth := func(waiting int) func() float64 {
				return func() float64 {
					s := startDurable(b)
					defer s.stop()
					publishBacklog(b, s, waiting+c.sample)
					return c.measure(b, s, c.sample, c.outstanding)
				}
			}
			reportRatio(b, measurement{"msg/s@100000", depth(100_000)}, measurement{"msg/s@1000", depth(1_000)})
		})
	}
}

// messageCount returns the number of messages to receive. pstest gets 1/100: it visits all waiting messages for each
// delivery, so it would take minutes.
func (s *service) messageCount(n int) int {
	if s.emulator == nil {
		return n / 100
	}
	return n
}

func perSecond(n int, f func()) float64 {
	began := time.Now()
	f()
	return float64(n) / time.Since(began).Seconds()
}

// publishBacklog creates a subscription and publishes n messages.
func publishBacklog(b *testing.B, s *service, n int) {
	s.createSub(b, nil)
	for n > 0 {
		batch := make([]*pubsubpb.PubsubMessage, min(n, 1000))
		for i := range batch {
			batch[i] = &pubsubpb.PubsubMessage{Data: bytes.Repeat([]byte("x"), 1024)}
		}
		s.publish(b, batch...)
		n -= len(batch)
	}
}

func fillAndReceiveRate(b *testing.B, s *service, n, outstanding int) float64 {
	publishBacklog(b, s, n)
	return clientReceiveRate(b, s, n, outstanding)
}

func clientReceiveRate(b *testing.B, s *service, n, outstanding int) float64 {
	sub := s.Subscriber(subName("sub"))
	sub.ReceiveSettings.MaxOutstandingMessages = outstanding
	var got atomic.Int64
	return perSecond(n, func() {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		require.NoError(b, sub.Receive(ctx, func(_ context.Context, m *gcp.Message) {
			m.Ack()
			if got.Add(1) == int64(n) {
				cancel()
			}
		}))
	})
}

func fillAndStreamRate(b *testing.B, s *service, n, outstanding int) float64 {
	publishBacklog(b, s, n)
	return streamingPullRate(b, s, n, outstanding)
}

// streamingPullRate receives n messages on a raw stream and acknowledges each.
func streamingPullRate(b *testing.B, s *service, n, outstanding int) float64 {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	stream, err := s.subscriber().StreamingPull(ctx)
	require.NoError(b, err)
	return perSecond(n, func() {
		require.NoError(b, stream.Send(&pubsubpb.StreamingPullRequest{
			Subscription: subName("sub"), StreamAckDeadlineSeconds: 60, MaxOutstandingMessages: int64(outstanding),
		}))
		for got := 0; got < n; {
			r, err := stream.Recv()
			require.NoError(b, err, "after %d", got)
			for _, m := range r.ReceivedMessages {
				require.NoError(b, stream.Send(&pubsubpb.StreamingPullRequest{AckIds: []string{m.AckId}}))
				got++
			}
		}
	})
}
