package pubsub_test

import (
	"context"
	"fmt"
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

	"github.com/airlock-run/airlock/emulator/pubsub"
)

// clientWithInterceptor returns another client of the service, whose calls go through f.
func (s *service) clientWithInterceptor(t *testing.T, f grpc.UnaryClientInterceptor) *gcp.Client {
	t.Helper()
	conn, err := grpc.NewClient(s.conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(f))
	require.NoError(t, err)
	c, err := gcp.NewClient(t.Context(), "p", option.WithGRPCConn(conn))
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = c.Close()
		_ = conn.Close()
	})
	return c
}

// TestClientReceivesFailedAckIDs ends one of many leases just before the client acknowledges, or negatively
// acknowledges, all of them in one call. Only that one may fail.
func TestClientReceivesFailedAckIDs(t *testing.T) {
	for name, c := range map[string]struct {
		settle func(m *gcp.Message) *gcp.AckResult
		nack   bool
	}{
		"ack":  {(*gcp.Message).AckWithResult, false},
		"nack": {(*gcp.Message).NackWithResult, true},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 20
			s := start(t, pubsub.Options{})
			s.createSub(t, &pubsubpb.Subscription{EnableExactlyOnceDelivery: true})
			var data []string
			for i := range n {
				data = append(data, fmt.Sprint(i))
			}
			s.publish(t, textMessages(data...)...)

			// Before the first call with several ack IDs, the test acknowledges one of them.
			var ackFirst sync.Once
			var failed error
			client := s.clientWithInterceptor(t, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				var ids []string
				switch r := req.(type) {
				case *pubsubpb.AcknowledgeRequest:
					ids = r.AckIds
				case *pubsubpb.ModifyAckDeadlineRequest:
					if c.nack && r.AckDeadlineSeconds == 0 {
						ids = r.AckIds
					}
				}
				if len(ids) > 1 {
					ackFirst.Do(func() { failed = s.tryAck(t, "sub", ids[0]) })
				}
				return invoke(ctx, method, req, reply, cc, opts...)
			})

			ctx, cancel := context.WithCancel(withTimeout(t, 20*time.Second))
			defer cancel()
			var (
				mu       sync.Mutex
				statuses = make(map[gcp.AcknowledgeStatus]int)
				seen     = make(map[string]bool)
				together sync.WaitGroup
				settled  int
			)
			together.Add(n)
			require.NoError(t, client.Subscriber(subName("sub")).Receive(ctx, func(_ context.Context, m *gcp.Message) {
				mu.Lock()
				again := seen[m.ID]
				seen[m.ID] = true
				mu.Unlock()
				if again { // a redelivery after the nack; Receive returns only after it is acknowledged
					m.Ack()
					return
				}
				together.Done()
				together.Wait()
				status, _ := c.settle(m).Get(ctx)
				mu.Lock()
				defer mu.Unlock()
				statuses[status]++
				if settled++; settled == n {
					cancel()
				}
			}))
			require.NoError(t, failed)
			require.Equal(t, map[gcp.AcknowledgeStatus]int{gcp.AcknowledgeStatusSuccess: n - 1, gcp.AcknowledgeStatusInvalidAckID: 1}, statuses)
		})
	}
}

func TestPartialFailureMarksValidAckIDsTransient(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, &pubsubpb.Subscription{EnableExactlyOnceDelivery: true})
	s.publish(t, textMessages("a", "b", "c")...)
	got := ackIDs(s.pull(t, "sub"))
	const invalid, transient = "PERMANENT_FAILURE_INVALID_ACK_ID", "TRANSIENT_FAILURE_OTHER_ACK_IDS_INVALID"
	require.NoError(t, s.tryAck(t, "sub", got[0]))

	err := s.tryAck(t, "sub", got[0], got[1])
	wantCode(t, codes.FailedPrecondition, err)
	require.Equal(t, map[string]string{got[0]: invalid, got[1]: transient}, errorInfo(t, err))
	require.NoError(t, s.tryAck(t, "sub", got[1]), "the repeated acknowledgement succeeds")

	err = s.tryNack(t, "sub", got[0], got[2])
	require.Equal(t, map[string]string{got[0]: invalid, got[2]: transient}, errorInfo(t, err))
	second := s.pull(t, "sub")
	require.Equal(t, []string{"c"}, bodies(second), "the nack took effect in the failed call")
	require.NoError(t, s.tryNack(t, "sub", got[2]))
	require.NoError(t, s.tryAck(t, "sub", ackIDs(second)...), "the repeated nack has no effect")
	require.Empty(t, s.pull(t, "sub"))
}

func TestPartiallyFailedModifyAckDeadlineCanBeRetried(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, &pubsubpb.Subscription{EnableExactlyOnceDelivery: true})
	s.publish(t, textMessages("a", "b")...)
	got := s.pull(t, "sub")
	s.ack(t, "sub", got[0])
	extend := func(messages ...*pubsubpb.ReceivedMessage) error {
		_, err := s.subscriber().ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{Subscription: subName("sub"), AckIds: ackIDs(messages), AckDeadlineSeconds: 60})
		return err
	}
	wantCode(t, codes.FailedPrecondition, extend(got...))
	c.Advance(30 * time.Second)
	require.NoError(t, extend(got[1]))
	c.Advance(59 * time.Second)
	s.ack(t, "sub", got[1])
	c.Advance(time.Hour)
	require.Empty(t, s.pull(t, "sub"), "the extended lease was not taken for an acknowledged one")
}
