package simulator

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Meter stands before the emulators. It delays their calls, counts them, and counts what Google would bill for them. It
// reads the messages as they are sent, and nothing of the product or the emulators. It is safe for concurrent use.
type Meter struct {
	latency  atomic.Pointer[Latency]
	observer *Observer

	mu     sync.Mutex
	counts Counts
	topics map[string]string // by subscription, full names
}

func newMeter(latency Latency, o *Observer) *Meter {
	m := &Meter{observer: o, counts: Counts{}, topics: map[string]string{}}
	m.SetLatency(latency)
	return m
}

// SetLatency applies to the calls that begin from now on.
func (m *Meter) SetLatency(l Latency) { m.latency.Store(&l) }

// Counts returns what has been counted so far.
func (m *Meter) Counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts.clone()
}

func (m *Meter) count(update func(Counts)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	update(m.counts)
}

// serverOptions are for the gRPC server of an emulator.
func (m *Meter) serverOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(m.unary), grpc.ChainStreamInterceptor(m.stream)}
}

func (m *Meter) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	method := lastPart(info.FullMethod)
	half := m.latency.Load().of(method) / 2
	sleep(ctx, half)
	reply, err := handle(ctx, req)
	m.countCall(method, err)
	if err == nil {
		m.countUnary(req, reply)
	}
	sleep(ctx, half)
	return reply, err
}

func (m *Meter) countCall(method string, err error) {
	code := status.Code(err)
	isPoll := method == "Pull" || method == "StreamingPull" || method == "Listen"
	m.count(func(c Counts) {
		c.add(Calls, method, 1)
		if err != nil && !(isPoll && (code == codes.Canceled || code == codes.DeadlineExceeded)) {
			c.add(FailedCalls, method+" "+code.String(), 1)
		}
	})
}

func (m *Meter) countUnary(req, reply any) {
	switch req := req.(type) {
	case *firestorepb.CommitRequest:
		m.countWrites(req.GetWrites(), nil)
	case *firestorepb.BatchWriteRequest:
		m.countWrites(req.GetWrites(), reply.(*firestorepb.BatchWriteResponse).GetStatus())
	case *firestorepb.GetDocumentRequest:
		m.count(func(c Counts) { c.add(Reads, collectionOf(req.GetName()), 1) })
	case *firestorepb.ListDocumentsRequest:
		found := len(reply.(*firestorepb.ListDocumentsResponse).GetDocuments())
		m.count(func(c Counts) { c.add(Reads, req.GetCollectionId(), int64(max(1, found))) })
	case *pubsubpb.Subscription:
		m.mu.Lock()
		m.topics[req.GetName()] = req.GetTopic()
		m.mu.Unlock()
	case *pubsubpb.PublishRequest:
		m.observer.published(req)
		m.count(func(c Counts) {
			c.add(Published, lastPart(req.GetTopic()), int64(len(req.GetMessages())))
			c.add(MessageBytes, "publish", billedBytes(req.GetMessages()))
		})
	case *pubsubpb.PullRequest:
		m.countDelivery(req.GetSubscription(), reply.(*pubsubpb.PullResponse).GetReceivedMessages())
	case *pubsubpb.AcknowledgeRequest:
		m.countAcks(req.GetSubscription(), req.GetAckIds())
	}
}

// countWrites counts the writes of a commit. Of a BatchWrite each write has its own outcome.
func (m *Meter) countWrites(writes []*firestorepb.Write, outcomes []*statuspb.Status) {
	m.count(func(c Counts) {
		for i, w := range writes {
			if i < len(outcomes) && outcomes[i].GetCode() != int32(codes.OK) {
				continue
			}
			switch op := w.GetOperation().(type) {
			case *firestorepb.Write_Update:
				c.add(Writes, collectionOf(op.Update.GetName()), 1)
			case *firestorepb.Write_Transform:
				c.add(Writes, collectionOf(op.Transform.GetDocument()), 1)
			case *firestorepb.Write_Delete:
				c.add(Deletes, collectionOf(op.Delete), 1)
			}
		}
	})
	m.observer.committed(writes)
}

// topic returns the topic of a subscription, so that subscriptions with random names are counted together.
func (m *Meter) topic(subscription string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if topic := m.topics[subscription]; topic != "" {
		return lastPart(topic)
	}
	return lastPart(subscription)
}

func (m *Meter) countDelivery(subscription string, messages []*pubsubpb.ReceivedMessage) {
	if len(messages) == 0 {
		return
	}
	list := make([]*pubsubpb.PubsubMessage, len(messages))
	for i, received := range messages {
		list[i] = received.GetMessage()
	}
	topic := m.topic(subscription)
	m.count(func(c Counts) {
		c.add(Deliveries, topic, int64(len(messages)))
		c.add(MessageBytes, "deliver", billedBytes(list))
	})
}

func (m *Meter) countAcks(subscription string, ids []string) {
	topic := m.topic(subscription)
	m.count(func(c Counts) { c.add(Acks, topic, int64(len(ids))) })
}

const (
	minRequestBytes = 1000 // billed for each request at least
	timestampBytes  = 20   // of each message
)

// billedBytes returns what Pub/Sub bills for one request with these messages.
func billedBytes(messages []*pubsubpb.PubsubMessage) int64 {
	bytes := 0
	for _, m := range messages {
		bytes += len(m.GetData()) + len(m.GetMessageId()) + timestampBytes
		for key, value := range m.GetAttributes() {
			bytes += len(key) + len(value)
		}
	}
	return int64(max(bytes, minRequestBytes))
}

func (m *Meter) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	method := lastPart(info.FullMethod)
	metered := &meteredStream{ServerStream: stream, meter: m, half: m.latency.Load().of(method) / 2}
	sleep(stream.Context(), metered.half)
	err := handle(srv, metered)
	metered.delayAnswer()
	metered.end()
	m.countCall(method, err)
	return err
}

// meteredStream counts what passes through a stream. One goroutine sends and another receives.
type meteredStream struct {
	grpc.ServerStream
	meter    *Meter
	half     time.Duration
	answered bool

	mu           sync.Mutex
	subscription string // of a StreamingPull
	collection   string // of a query
	found        int64  // documents of a query, or reads of an aggregation
}

func (s *meteredStream) delayAnswer() {
	if !s.answered {
		s.answered = true
		sleep(s.Context(), s.half)
	}
}

func (s *meteredStream) RecvMsg(message any) error {
	if err := s.ServerStream.RecvMsg(message); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch req := message.(type) {
	case *firestorepb.RunQueryRequest:
		s.collection = queried(req.GetStructuredQuery())
	case *firestorepb.RunAggregationQueryRequest:
		s.collection = queried(req.GetStructuredAggregationQuery().GetStructuredQuery())
	case *pubsubpb.StreamingPullRequest:
		if req.GetSubscription() != "" {
			s.subscription = req.GetSubscription()
		}
		s.meter.countAcks(s.subscription, req.GetAckIds())
	}
	return nil
}

func queried(q *firestorepb.StructuredQuery) string {
	if from := q.GetFrom(); len(from) > 0 {
		return from[0].GetCollectionId()
	}
	return "unknown"
}

func (s *meteredStream) SendMsg(message any) error {
	s.delayAnswer()
	switch reply := message.(type) {
	case *firestorepb.BatchGetDocumentsResponse:
		if name := documentName(reply); name != "" {
			s.meter.count(func(c Counts) { c.add(Reads, collectionOf(name), 1) })
		}
	case *firestorepb.RunQueryResponse:
		if reply.GetDocument() != nil {
			s.found++
		}
	case *firestorepb.RunAggregationQueryResponse:
		s.found += indexEntries(reply)
	case *firestorepb.ListenResponse:
		s.countListened(reply)
	case *pubsubpb.StreamingPullResponse:
		s.mu.Lock()
		subscription := s.subscription
		s.mu.Unlock()
		s.meter.countDelivery(subscription, reply.GetReceivedMessages())
	}
	return s.ServerStream.SendMsg(message)
}

// documentName is empty for a reply that only begins a transaction. A missing document is billed like another.
func documentName(reply *firestorepb.BatchGetDocumentsResponse) string {
	if found := reply.GetFound(); found != nil {
		return found.GetName()
	}
	return reply.GetMissing()
}

const indexEntriesPerRead = 1000

// indexEntries returns the reads of an aggregation: one for 1,000 index entries, of which a count says the number.
func indexEntries(reply *firestorepb.RunAggregationQueryResponse) int64 {
	var entries int64
	for _, v := range reply.GetResult().GetAggregateFields() {
		entries = max(entries, v.GetIntegerValue())
	}
	return (entries + indexEntriesPerRead - 1) / indexEntriesPerRead
}

// countListened counts what a listener delivers. A document that was deleted is not billed.
func (s *meteredStream) countListened(reply *firestorepb.ListenResponse) {
	name := reply.GetDocumentChange().GetDocument().GetName()
	if name == "" {
		name = reply.GetDocumentRemove().GetDocument()
	}
	if name == "" {
		return
	}
	s.meter.count(func(c Counts) {
		c.add(Reads, collectionOf(name), 1)
		c.add(ListenerReads, collectionOf(name), 1)
	})
}

// end counts the reads of a query: the documents, and at least one.
func (s *meteredStream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.collection != "" {
		s.meter.count(func(c Counts) { c.add(Reads, s.collection, max(1, s.found)) })
	}
}
