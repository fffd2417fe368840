package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// ErrCorrupt is returned for a record that does not decode.
var ErrCorrupt = errors.New("record is corrupt")

// Topic is a stored topic. A topic that is deleted and created again gets a new ID.
type Topic struct {
	ID     uint64
	Config *pubsubpb.Topic
}

// Subscription is a stored subscription. Topic is the ID of its topic, even after the topic was deleted.
type Subscription struct {
	ID     uint64
	Topic  uint64
	Config *pubsubpb.Subscription
}

// Snapshot is a stored snapshot: the messages of Topic that were unacknowledged when it was taken, and all messages
// from NextSeq on.
type Snapshot struct {
	Topic   uint64
	NextSeq uint64
	Unacked []uint64 // ascending
	Config  *pubsubpb.Snapshot
}

// Entry is a message in the backlog of a subscription.
type Entry struct {
	Seq       uint64
	Size      int
	Key       string
	Published time.Time
	Failures  int // failed deliveries; a crash may lose the newest
	Acked     bool
}

func (t Topic) encode() ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(binary.AppendUvarint(nil, t.ID), t.Config)
}

func decodeTopic(b []byte) (Topic, error) {
	r := decoder{rest: b}
	t := Topic{ID: r.uvarint(), Config: new(pubsubpb.Topic)}
	return t, r.message(t.Config)
}

func (s Subscription) encode() ([]byte, error) {
	b := binary.AppendUvarint(nil, s.ID)
	return proto.MarshalOptions{}.MarshalAppend(binary.AppendUvarint(b, s.Topic), s.Config)
}

func decodeSubscription(b []byte) (Subscription, error) {
	r := decoder{rest: b}
	s := Subscription{ID: r.uvarint(), Topic: r.uvarint(), Config: new(pubsubpb.Subscription)}
	return s, r.message(s.Config)
}

func (s Snapshot) encode() ([]byte, error) {
	b := binary.AppendUvarint(nil, s.Topic)
	b = binary.AppendUvarint(b, s.NextSeq)
	b = binary.AppendUvarint(b, uint64(len(s.Unacked)))
	var last uint64
	for _, seq := range s.Unacked {
		b = binary.AppendUvarint(b, seq-last)
		last = seq
	}
	return proto.MarshalOptions{}.MarshalAppend(b, s.Config)
}

func decodeSnapshot(b []byte) (Snapshot, error) {
	r := decoder{rest: b}
	s := Snapshot{Topic: r.uvarint(), NextSeq: r.uvarint(), Config: new(pubsubpb.Snapshot)}
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		return s, ErrCorrupt
	}
	var last uint64
	for range n {
		last += r.uvarint()
		s.Unacked = append(s.Unacked, last)
	}
	return s, r.message(s.Config)
}

func (e Entry) encode() []byte {
	flags := uint64(e.Failures) << 1
	if e.Acked {
		flags |= 1
	}
	b := binary.AppendUvarint(nil, flags)
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = binary.AppendVarint(b, e.Published.UnixMicro())
	return append(b, e.Key...)
}

func decodeEntry(b []byte) (Entry, error) {
	r := decoder{rest: b}
	flags := r.uvarint()
	e := Entry{
		Failures:  int(flags >> 1 & 0xffff),
		Acked:     flags&1 == 1,
		Size:      int(r.uvarint() & 0x7fffffff),
		Published: time.UnixMicro(r.varint()),
	}
	e.Key = string(r.rest)
	return e, r.err
}

func decodeMessage(b []byte) (topic uint64, m *pubsubpb.PubsubMessage, err error) {
	r := decoder{rest: b}
	topic, m = r.uvarint(), new(pubsubpb.PubsubMessage)
	return topic, m, r.message(m)
}

// decoder reads a record from its beginning and remembers the first error.
type decoder struct {
	rest []byte
	err  error
}

func (r *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	return advance(r, v, n)
}

func (r *decoder) varint() int64 {
	v, n := binary.Varint(r.rest)
	return advance(r, v, n)
}

func advance[T any](r *decoder, v T, n int) T {
	if n <= 0 {
		r.rest, r.err = nil, ErrCorrupt
		var zero T
		return zero
	}
	r.rest = r.rest[n:]
	return v
}

// message decodes the rest of the record.
func (r *decoder) message(m proto.Message) error {
	if r.err != nil {
		return r.err
	}
	if err := proto.Unmarshal(r.rest, m); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}
