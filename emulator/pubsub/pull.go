package pubsub

import (
	"context"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/airlock-run/airlock/emulator/internal/grpcserver"
)

// Pull waits for at least one message. After pullTimeout it returns none.
func (s *subscriber) Pull(ctx context.Context, req *pubsubpb.PullRequest) (*pubsubpb.PullResponse, error) {
	sub, err := s.findSubscription(req.Subscription)
	if err != nil {
		return nil, err
	}
	if req.MaxMessages <= 0 {
		return nil, invalid("The value for max_messages must be greater than 0 (max_messages=%d).", req.MaxMessages)
	}
	n := min(int(req.MaxMessages), maxPullMessages)
	r, err := sub.NewReader(n, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	waitCtx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	for {
		select {
		case <-r.Ready():
		case <-r.Done():
		case <-waitCtx.Done():
			return &pubsubpb.PullResponse{}, ctx.Err()
		case <-s.s.calls.Closing():
			return nil, grpcserver.ErrShuttingDown
		}
		messages, err := r.Pull(n)
		if err != nil {
			return nil, err
		}
		if len(messages) > 0 && ctx.Err() != nil {
			return nil, ctx.Err() // the client has gone: Close makes the messages available
		}
		//nolint:staticcheck // deprecated, but clients still use it
		if len(messages) > 0 || req.ReturnImmediately {
			r.Confirm()
			return &pubsubpb.PullResponse{ReceivedMessages: messages}, nil
		}
	}
}

func (s *subscriber) Acknowledge(_ context.Context, req *pubsubpb.AcknowledgeRequest) (*emptypb.Empty, error) {
	sub, err := s.findSubscription(req.Subscription)
	if err != nil {
		return nil, err
	}
	if len(req.AckIds) == 0 {
		return nil, invalid("The request has no ack IDs.")
	}
	r, err := sub.Ack(req.AckIds)
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, ackFailure(r)
}

func (s *subscriber) ModifyAckDeadline(_ context.Context, req *pubsubpb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	sub, err := s.findSubscription(req.Subscription)
	if err != nil {
		return nil, err
	}
	if len(req.AckIds) == 0 {
		return nil, invalid("The request has no ack IDs.")
	}
	d, err := parseAckDeadline(req.AckDeadlineSeconds)
	if err != nil {
		return nil, err
	}
	r, err := sub.ModifyAckDeadline(req.AckIds, func(int) time.Duration { return d })
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, ackFailure(r)
}

// parseAckDeadline accepts 0 to 600 seconds.
func parseAckDeadline(seconds int32) (time.Duration, error) {
	if seconds < 0 || seconds > maxAckDeadline {
		return 0, invalid("Invalid ack_deadline_seconds: %d is not between 0 and %d.", seconds, maxAckDeadline)
	}
	return time.Duration(seconds) * time.Second, nil
}
