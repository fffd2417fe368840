package pubsub_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/airlock-run/airlock/emulator"
	"github.com/airlock-run/airlock/emulator/internal/smalldisk"
	"github.com/airlock-run/airlock/emulator/pubsub"
)

const smallDiskSize = "256m" // each of up to three logs has 36 MB

func TestFullDisk(t *testing.T) {
	disk := smalldisk.Mount(t, smallDiskSize)
	dir := filepath.Join(disk.Dir, "data")
	s := start(t, pubsub.Options{Dir: dir})
	s.createSub(t, &pubsubpb.Subscription{AckDeadlineSeconds: 600})
	s.createSubOnly(t, "all", &pubsubpb.Subscription{AckDeadlineSeconds: 600})
	s.snapshot(t, "snap", "sub")
	acknowledged := make(map[string]bool)
	for range 3 {
		for _, id := range s.publishUntilFull(t, disk) {
			acknowledged[id] = true
		}
		for name, write := range s.writes() {
			require.Equal(t, codes.ResourceExhausted, status.Code(write(t.Context())), name)
		}
		s.requireReads(t)
		_, err := pubsub.Open(pubsub.Options{Dir: filepath.Join(disk.Dir, "other")})
		require.ErrorAs(t, err, new(*emulator.FullError))
		require.ErrorContains(t, err, "free some space")

		// The client sends a message again until there is space.
		refused := make(chan struct{})
		p := s.clientThatReports(t, refused).Publisher(topicName("topic"))
		result := p.Publish(t.Context(), &gcp.Message{Data: []byte("waits for space")})
		<-refused
		disk.Free()
		id, err := result.Get(withTimeout(t, time.Minute))
		require.NoError(t, err)
		acknowledged[id] = true
		p.Stop()
	}
	for name, write := range s.writes() {
		require.NotEqual(t, codes.ResourceExhausted, status.Code(write(t.Context())), name)
	}
	got := s.pull(t, "sub")
	require.NotEmpty(t, got)
	s.ack(t, "sub", got...)
	s.stop()

	s = start(t, pubsub.Options{Dir: dir})
	all := s.pullAll(t, "all")
	for id := range acknowledged {
		require.True(t, all[id], "message %s was acknowledged to its publisher and is lost", id)
	}
}

// publishUntilFull publishes from several goroutines, fills the disk in the meantime, and returns the IDs of the
// messages that the server has acknowledged when each goroutine is refused.
func (s *service) publishUntilFull(t *testing.T, disk *smalldisk.Disk) []string {
	t.Helper()
	var mu sync.Mutex
	var ids []string
	var wg sync.WaitGroup
	begun := make(chan struct{}, 4)
	for range cap(begun) {
		wg.Go(func() {
			begin := sync.OnceFunc(func() { begun <- struct{}{} })
			defer begin()
			for n := 0; ; n++ {
				r, err := s.publisher().Publish(t.Context(), &pubsubpb.PublishRequest{
					Topic: topicName("topic"), Messages: []*pubsubpb.PubsubMessage{{Data: make([]byte, 10_000)}},
				})
				if n == 5 {
					begin()
				}
				if err != nil {
					if code := status.Code(err); code != codes.ResourceExhausted && code != codes.Unavailable {
						t.Errorf("publish on a full disk: %v", err)
					}
					return
				}
				mu.Lock()
				ids = append(ids, r.MessageIds...)
				mu.Unlock()
			}
		})
	}
	for range cap(begun) {
		<-begun
	}
	disk.Fill()
	wg.Wait()
	require.NotEmpty(t, ids)
	return ids
}

// writes returns a call of each method that writes.
func (s *service) writes() map[string]func(context.Context) error {
	pub, sub := s.publisher(), s.subscriber()
	mask := func(path string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: []string{path}} }
	return map[string]func(context.Context) error{
		"Publish": func(ctx context.Context) error {
			return second(pub.Publish(ctx, &pubsubpb.PublishRequest{Topic: topicName("topic"), Messages: textMessages("x")}))
		},
		"CreateTopic": func(ctx context.Context) error {
			return second(pub.CreateTopic(ctx, &pubsubpb.Topic{Name: topicName("new")}))
		},
		"UpdateTopic": func(ctx context.Context) error {
			return second(pub.UpdateTopic(ctx, &pubsubpb.UpdateTopicRequest{Topic: &pubsubpb.Topic{Name: topicName("topic")}, UpdateMask: mask("labels")}))
		},
		"DeleteTopic": func(ctx context.Context) error {
			return second(pub.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: topicName("missing")}))
		},
		"DetachSubscription": func(ctx context.Context) error {
			return second(pub.DetachSubscription(ctx, &pubsubpb.DetachSubscriptionRequest{Subscription: subName("missing")}))
		},
		"CreateSubscription": func(ctx context.Context) error {
			return second(sub.CreateSubscription(ctx, &pubsubpb.Subscription{Name: subName("new"), Topic: topicName("topic")}))
		},
		"UpdateSubscription": func(ctx context.Context) error {
			return second(sub.UpdateSubscription(ctx, &pubsubpb.UpdateSubscriptionRequest{
				Subscription: &pubsubpb.Subscription{Name: subName("sub")}, UpdateMask: mask("labels"),
			}))
		},
		"DeleteSubscription": func(ctx context.Context) error {
			return second(sub.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: subName("missing")}))
		},
		"Acknowledge": func(ctx context.Context) error {
			return second(sub.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: subName("sub"), AckIds: []string{"x"}}))
		},
		"acknowledgement on a stream": func(ctx context.Context) error {
			stream, err := sub.StreamingPull(ctx)
			if err != nil {
				return err
			}
			return errors.Join(stream.Send(&pubsubpb.StreamingPullRequest{
				Subscription: subName("sub"), StreamAckDeadlineSeconds: 60, AckIds: []string{"x"}, MaxOutstandingMessages: 1,
			}), recvUntilError(stream))
		},
		"Seek": func(ctx context.Context) error {
			return second(sub.Seek(ctx, &pubsubpb.SeekRequest{
				Subscription: subName("sub"), Target: &pubsubpb.SeekRequest_Snapshot{Snapshot: snapshotName("snap")},
			}))
		},
		"CreateSnapshot": func(ctx context.Context) error {
			return second(sub.CreateSnapshot(ctx, &pubsubpb.CreateSnapshotRequest{Name: snapshotName("new"), Subscription: subName("sub")}))
		},
		"UpdateSnapshot": func(ctx context.Context) error {
			return second(sub.UpdateSnapshot(ctx, &pubsubpb.UpdateSnapshotRequest{
				Snapshot: &pubsubpb.Snapshot{Name: snapshotName("snap")}, UpdateMask: mask("labels"),
			}))
		},
		"DeleteSnapshot": func(ctx context.Context) error {
			return second(sub.DeleteSnapshot(ctx, &pubsubpb.DeleteSnapshotRequest{Snapshot: snapshotName("missing")}))
		},
	}
}

func second[T any](_ T, err error) error { return err }

func recvUntilError(stream pubsubpb.Subscriber_StreamingPullClient) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

// requireReads reads everything, receives a message by a call and one on a stream, and gives both back.
func (s *service) requireReads(t *testing.T) {
	t.Helper()
	require.NotEmpty(t, s.listResources(t))
	r, err := s.subscriber().Pull(t.Context(), &pubsubpb.PullRequest{Subscription: subName("sub"), MaxMessages: 1})
	require.NoError(t, err)
	s.nack(t, "sub", r.ReceivedMessages...)
	stream := s.openStream(t, &pubsubpb.StreamingPullRequest{MaxOutstandingMessages: 1})
	s.nack(t, "sub", recvMessages(t, stream, 1)...)
	require.NoError(t, stream.CloseSend())
}

// clientThatReports returns a client that closes the channel when the server has refused one of its calls.
func (s *service) clientThatReports(t *testing.T, refused chan struct{}) *gcp.Client {
	t.Helper()
	report := sync.OnceFunc(func() { close(refused) })
	intercept := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
		err := invoke(ctx, method, req, reply, cc, o...)
		if status.Code(err) == codes.ResourceExhausted {
			report()
		}
		return err
	}
	conn, err := grpc.NewClient(s.emulator.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(intercept))
	require.NoError(t, err)
	client, err := gcp.NewClient(t.Context(), "p", option.WithGRPCConn(conn))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

func TestCloseOnFullDisk(t *testing.T) {
	disk := smalldisk.Mount(t, smallDiskSize)
	dir := filepath.Join(disk.Dir, "data")
	s := start(t, pubsub.Options{Dir: dir})
	s.createSub(t, nil)
	ids := s.publishUntilFull(t, disk)
	s.stop() // requires that Close succeeds

	disk.Free()
	s = start(t, pubsub.Options{Dir: dir})
	all := s.pullAll(t, "sub")
	for _, id := range ids {
		require.True(t, all[id], "message %s is lost", id)
	}
}
