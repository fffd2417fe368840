package pubsub_test

import (
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/emulator/pubsub"
)

// brokenClock panics in the next calls of Now, which are made with the lock of a subscription or topic held.
type brokenClock struct {
	*emulatortest.Clock
	panics atomic.Int32
}

func (c *brokenClock) Now() time.Time {
	if c.panics.Add(-1) >= 0 {
		panic("broken clock")
	}
	return c.Clock.Now()
}

func TestPanicOfUnaryCall(t *testing.T) {
	c := &brokenClock{Clock: newClock()}
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, nil)
	s.publish(t, textMessages("a")...)
	got := s.pull(t, "sub")
	require.Len(t, got, 1)

	c.panics.Store(1)
	wantCode(t, codes.Internal, s.tryAck(t, "sub", got[0].AckId))
	s.ack(t, "sub", got...)

	c.panics.Store(1)
	_, err := s.publisher().Publish(t.Context(), &pubsubpb.PublishRequest{Topic: topicName("topic"), Messages: textMessages("b")})
	wantCode(t, codes.Internal, err)
	s.publish(t, textMessages("c")...)
	require.Equal(t, []string{"c"}, bodies(s.pull(t, "sub")), "no lock is held")
}

// The requests of a stream are handled by a goroutine of their own.
func TestPanicOfStreamRequest(t *testing.T) {
	c := &brokenClock{Clock: newClock()}
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, nil)
	for range 5 { // in some rounds the goroutine that sends may be the one that panics
		stream := s.openStream(t, &pubsubpb.StreamingPullRequest{ProtocolVersion: 1})
		recvKeepAlive(t, stream)
		c.panics.Store(1)
		require.NoError(t, stream.Send(&pubsubpb.StreamingPullRequest{
			ModifyDeadlineAckIds: []string{wellFormedAckID}, ModifyDeadlineSeconds: []int32{30},
		}))
		wantCode(t, codes.Internal, recvUntilError(stream))
	}
	s.publish(t, textMessages("a")...)
	stream := s.openStream(t, &pubsubpb.StreamingPullRequest{})
	require.Equal(t, []string{"a"}, bodies(recvMessages(t, stream, 1)))
}

// wellFormedAckID has the form of an ack ID.
const wellFormedAckID = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// Leases expire in a goroutine of a timer.
func TestPanicOfTimer(t *testing.T) {
	c := &brokenClock{Clock: newClock()}
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, nil)
	s.publish(t, textMessages("a")...)
	require.Len(t, s.pull(t, "sub"), 1)
	c.panics.Store(1)
	c.Advance(11 * time.Second) // the timer fires and panics
	require.Negative(t, c.panics.Load())
	c.Advance(2 * time.Second)
	require.Equal(t, []string{"a"}, bodies(s.pull(t, "sub")), "the lease ends at the next attempt")
}
