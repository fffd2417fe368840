package broker

import (
	"slices"
	"sync"
	"sync/atomic"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

const (
	// bodiesBytes bounds the bodies in memory, of all subscriptions together.
	bodiesBytes = 16 << 20
	// bodyOverhead is about what a body takes beside its content, in bytes.
	bodyOverhead = 256
	// What is read ahead for one reader, at most.
	aheadMessages = 256
	aheadBytes    = 512 << 10
)

// bodies keeps some messages in memory: those just published, because somebody
// is likely waiting for them, and those read ahead, because one pass over many
// costs little more than looking up one. What came first goes first. They are
// shared by whoever delivers them, so nobody changes them.
//
// A message may stay here after it was deleted. As numbers are given once,
// nobody asks for it then.
type bodies struct {
	store   *store.Store
	readers atomic.Int64 // who share the room

	mu    sync.Mutex
	known map[uint64]*pubsubpb.PubsubMessage
	order []sized // of arrival
	bytes int
}

type sized struct {
	seq   uint64
	bytes int
}

func newBodies(st *store.Store) *bodies {
	return &bodies{store: st, known: make(map[uint64]*pubsubpb.PubsubMessage)}
}

func (b *bodies) put(seq uint64, m *pubsubpb.PubsubMessage) {
	n := proto.Size(m) + bodyOverhead
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known[seq] != nil {
		return
	}
	b.known[seq] = m
	b.order = append(b.order, sized{seq, n})
	b.bytes += n
	for b.bytes > bodiesBytes {
		first := b.order[0]
		b.order = b.order[1:]
		b.bytes -= first.bytes
		delete(b.known, first.seq)
	}
}

// get returns the messages in the order asked for, nil for one that was
// deleted. If any has to be read, so is what ahead expects to be asked for
// after it, in not more than so many bytes; ahead may be nil.
func (b *bodies) get(seqs []uint64, ahead func(seq uint64, bytes int) []uint64) ([]*pubsubpb.PubsubMessage, error) {
	out := make([]*pubsubpb.PubsubMessage, len(seqs))
	place := make(map[uint64]int) // in out, of what is to be read
	var missing []uint64
	b.mu.Lock()
	for i, seq := range seqs {
		if out[i] = b.known[seq]; out[i] == nil {
			place[seq] = i
			missing = append(missing, seq)
		}
	}
	b.mu.Unlock()
	if len(missing) == 0 {
		return out, nil
	}
	if ahead != nil {
		room := bodiesBytes / 2 / max(1, int(b.readers.Load()))
		missing = append(missing, ahead(missing[len(missing)-1], min(aheadBytes, room))...)
	}
	slices.Sort(missing)
	err := b.store.Bodies(slices.Compact(missing), func(seq uint64, m *pubsubpb.PubsubMessage) {
		b.put(seq, m)
		if i, ok := place[seq]; ok {
			out[i] = m
		}
	})
	return out, err
}
