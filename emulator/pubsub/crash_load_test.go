package pubsub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

// TestKillsUnderMixedLoad kills the server several times, each time after a random number of calls of publishers and
// subscribers, and checks the messages of each subscription after the restart:
//
//   - "plain" has every published message that no client tried to acknowledge;
//   - "once", with exactly-once delivery, has these too, and no message whose acknowledgement was confirmed;
//   - "retained" has every message after a seek to the beginning.
func TestKillsUnderMixedLoad(t *testing.T) {
	const rounds = 5
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	began := time.Now()
	l := &load{published: make(map[string]bool), attempted: make(map[string]bool), confirmed: make(map[string]bool), began: began}
	for round := range rounds {
		child := startServerProcess(t, dir)
		if round == 0 {
			child.createTopic(t, "topic")
			child.createSubOnly(t, "plain", &pubsubpb.Subscription{})
			child.createSubOnly(t, "once", &pubsubpb.Subscription{EnableExactlyOnceDelivery: true})
			child.createSubOnly(t, "retained", &pubsubpb.Subscription{RetainAckedMessages: true})
		}
		l.run(t.Context(), child, 50+random.IntN(500), random.Uint64())

		s := start(t, pubsub.Options{Dir: dir})
		plain, once := s.pullAll(t, "plain"), s.pullAll(t, "once")
		s.seekTime(t, "retained", began)
		retained := s.pullAll(t, "retained")
		for id := range l.published {
			require.True(t, retained[id], "round %d: message %s is not retained", round, id)
			if !l.attempted["plain "+id] {
				require.True(t, plain[id], "round %d: message %s was not acknowledged and is lost", round, id)
			}
			if !l.attempted["once "+id] {
				require.True(t, once[id], "round %d: message %s was not acknowledged and is lost", round, id)
			}
			if l.confirmed["once "+id] {
				require.False(t, once[id], "round %d: message %s was acknowledged and is delivered again", round, id)
			}
		}
		t.Logf("round %d: %d published, %d acknowledgements attempted, %d confirmed", round, len(l.published), len(l.attempted), len(l.confirmed))
		s.stop()
	}
	require.NotEmpty(t, l.confirmed)
}

// pullAll leases all waiting messages of a subscription. The result is a set of message IDs.
func (s *service) pullAll(t testing.TB, id string) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for got := s.pull(t, id); len(got) > 0; got = s.pull(t, id) {
		for _, m := range got {
			all[m.Message.MessageId] = true
		}
	}
	return all
}

// load runs clients and records the results of their calls. The key of an acknowledgement is "subscription message".
type load struct {
	began time.Time

	mu                              sync.Mutex
	published, attempted, confirmed map[string]bool
	callsLeft                       int    // number of calls until the kill
	kill                            func() // called by the client that makes the last call
}

// run kills the server after a number of calls. It returns when all clients have ended.
func (l *load) run(ctx context.Context, s *service, calls int, seed uint64) {
	l.callsLeft, l.kill = calls, s.stop
	var clients sync.WaitGroup
	client := func(work func(ctx context.Context, s *service, random *rand.Rand) error) {
		seed++
		random := rand.New(rand.NewPCG(seed, 1))
		clients.Go(func() {
			for work(ctx, s, random) == nil {
				l.countCall()
			}
		})
	}
	for range 4 {
		client(l.publish)
	}
	for _, sub := range []string{"plain", "plain", "once", "retained"} {
		client(func(ctx context.Context, s *service, random *rand.Rand) error {
			return l.ackOrNack(ctx, s, random, sub)
		})
	}
	client(l.seek)
	clients.Wait()
}

func (l *load) countCall() {
	l.mu.Lock()
	l.callsLeft--
	done := l.callsLeft == 0
	l.mu.Unlock()
	if done {
		l.kill()
	}
}

func (l *load) publish(ctx context.Context, s *service, random *rand.Rand) error {
	data := make([]string, 1+random.IntN(20))
	for i := range data {
		data[i] = fmt.Sprint(random.Uint64())
	}
	r, err := s.publisher().Publish(ctx, &pubsubpb.PublishRequest{Topic: topicName("topic"), Messages: textMessages(data...)})
	if err != nil {
		return err
	}
	l.record(l.published, "", r.MessageIds)
	return nil
}

// ackOrNack pulls messages. It acknowledges some, negatively acknowledges some, and ignores the others.
func (l *load) ackOrNack(ctx context.Context, s *service, random *rand.Rand, sub string) error {
	r, err := s.subscriber().Pull(ctx, &pubsubpb.PullRequest{Subscription: subName(sub), MaxMessages: 30, ReturnImmediately: true}) //nolint:staticcheck // deprecated, but the only way not to wait
	if err != nil {
		return err
	}
	var acks, nacks, ids []string
	for _, m := range r.ReceivedMessages {
		switch random.IntN(4) {
		case 0:
			nacks = append(nacks, m.AckId)
		case 1:
		default:
			acks = append(acks, m.AckId)
			ids = append(ids, m.Message.MessageId)
		}
	}
	if len(nacks) > 0 {
		if _, err := s.subscriber().ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{Subscription: subName(sub), AckIds: nacks}); err != nil {
			return err
		}
	}
	if len(acks) == 0 {
		return nil
	}
	l.record(l.attempted, sub+" ", ids)
	if _, err := s.subscriber().Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: subName(sub), AckIds: acks}); err != nil {
		return err
	}
	l.record(l.confirmed, sub+" ", ids)
	return nil
}

// seek moves "retained" to the beginning or to now.
func (l *load) seek(ctx context.Context, s *service, random *rand.Rand) error {
	to := l.began
	if random.IntN(2) == 0 {
		to = time.Now()
	}
	_, err := s.subscriber().Seek(ctx, &pubsubpb.SeekRequest{
		Subscription: subName("retained"), Target: &pubsubpb.SeekRequest_Time{Time: timestamppb.New(to)},
	})
	return err
}

func (l *load) record(set map[string]bool, prefix string, ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		set[prefix+id] = true
	}
}
