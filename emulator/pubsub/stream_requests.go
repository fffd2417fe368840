package pubsub

import (
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

func checkInitialRequest(req *pubsubpb.StreamingPullRequest) error {
	if n := req.StreamAckDeadlineSeconds; n < minAckDeadline || n > maxAckDeadline {
		return invalid("Invalid stream_ack_deadline_seconds: %d is not between %d and %d.", n, minAckDeadline, maxAckDeadline)
	}
	return nil
}

// receive handles requests until the client closes its side (io.EOF), disconnects, or sends an invalid request.
func (st *stream) receive() error {
	for {
		req, err := st.grpc.Recv()
		if err != nil {
			return err
		}
		if err := checkSubsequentRequest(req); err != nil {
			return err
		}
		if err := st.handleRequest(req); err != nil {
			return err
		}
		if st.repliesToKeepAlive && len(req.AckIds) == 0 && len(req.ModifyDeadlineAckIds) == 0 {
			st.enqueueReply(&pubsubpb.StreamingPullResponse{})
		}
	}
}

func checkSubsequentRequest(req *pubsubpb.StreamingPullRequest) error {
	switch {
	case req.Subscription != "":
		return invalid("The subscription may only be set in the first request of a stream.")
	case req.ClientId != "":
		return invalid("The client_id may only be set in the first request of a stream.")
	case req.MaxOutstandingMessages != 0 || req.MaxOutstandingBytes != 0:
		return invalid("The flow control may only be set in the first request of a stream.")
	case req.StreamAckDeadlineSeconds != 0:
		return checkInitialRequest(req)
	}
	return nil
}

// handleRequest carries out one request.
func (st *stream) handleRequest(req *pubsubpb.StreamingPullRequest) error {
	if n := req.StreamAckDeadlineSeconds; n != 0 {
		st.reader.SetAckDeadline(time.Duration(n) * time.Second)
	}
	if err := st.modifyAckDeadlines(req); err != nil {
		return err
	}
	return st.acknowledge(req)
}

func (st *stream) acknowledge(req *pubsubpb.StreamingPullRequest) error {
	if len(req.AckIds) == 0 {
		return nil
	}
	if err := st.s.broker.CheckSpace(); err != nil {
		return err
	}
	r, err := st.sub.Ack(req.AckIds)
	if err != nil || !r.ExactlyOnce {
		return err
	}
	st.enqueueReply(&pubsubpb.StreamingPullResponse{
		AcknowledgeConfirmation: &pubsubpb.StreamingPullResponse_AcknowledgeConfirmation{
			AckIds: r.Succeeded, InvalidAckIds: r.Invalid,
		},
	})
	return nil
}

func (st *stream) modifyAckDeadlines(req *pubsubpb.StreamingPullRequest) error {
	ids, seconds := req.ModifyDeadlineAckIds, req.ModifyDeadlineSeconds
	if len(ids) != len(seconds) {
		return invalid("The request has %d modify_deadline_ack_ids and %d modify_deadline_seconds.", len(ids), len(seconds))
	}
	if len(ids) == 0 {
		return nil
	}
	durations := make([]time.Duration, len(seconds))
	for i, n := range seconds {
		var err error
		if durations[i], err = parseAckDeadline(n); err != nil {
			return err
		}
	}
	r, err := st.sub.ModifyAckDeadline(ids, func(i int) time.Duration { return durations[i] })
	if err != nil || !r.ExactlyOnce {
		return err
	}
	st.enqueueReply(&pubsubpb.StreamingPullResponse{
		ModifyAckDeadlineConfirmation: &pubsubpb.StreamingPullResponse_ModifyAckDeadlineConfirmation{
			AckIds: r.Succeeded, InvalidAckIds: r.Invalid,
		},
	})
	return nil
}

// enqueueReply passes a response to the sending goroutine.
func (st *stream) enqueueReply(r *pubsubpb.StreamingPullResponse) {
	st.mu.Lock()
	st.replies = append(st.replies, r)
	st.mu.Unlock()
	st.repliesReady.Notify()
}
