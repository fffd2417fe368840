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
	maxCacheBytes = 16 << 20
	// bodyOverhead is about what a body takes beside its content, in bytes.
	cacheEntryOverhead = 256
	// What is read ahead for one reader, at most.
	readAheadMessages = 256
	readAheadBytes    = 512 << 10
)

// bodies keeps some messages in memory: those just published, because somebody
// is likely waiting for them, and those read ahead, because one pass over many
// costs little more than looking up one. What came first goes first. They are
// shared by whoever delivers them, so nobody changes them.
//
// A message may stay here after it was deleted. As numbers are given once,
// nobody asks for it then.
type messageCache struct {
	store   *store.Store
	readers atomic.Int64 // who share the room

	mu       sync.Mutex
	messages map[uint64]*pubsubpb.PubsubMessage
	order    []cacheEntry // of arrival
	bytes    int
}

type cacheEntry struct {
	seq   uint64
	bytes int
}

func newMessageCache(st *store.Store) *messageCache {
	return &messageCache{store: st, messages: make(map[uint64]*pubsubpb.PubsubMessage)}
}

func (b *messageCache) put(seq uint64, m *pubsubpb.PubsubMessage) {
	n := proto.Size(m) + cacheEntryOverhead
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.messages[seq] != nil {
		return
	}
	b.messages[seq] = m
	b.order = append(b.order, cacheEntry{seq, n})
	b.bytes += n
	for b.bytes > maxCacheBytes {
		first := b.order[0]
		b.order = b.order[1:]
		b.bytes -= first.bytes
		delete(b.messages, first.seq)
	}
}

// get returns the messages in the order asked for, nil for one that was
// deleted. If any has to be read, so is what ahead expects to be asked for
// after it, in not more than so many bytes; ahead may be nil.
func (b *messageCache) get(seqs []uint64, readAhead func(seq uint64, bytes int) []uint64) ([]*pubsubpb.PubsubMessage, error) {
	out := make([]*pubsubpb.PubsubMessage, len(seqs))
	indexBySeq := make(map[uint64]int) // in out, of what is to be read
	var missing []uint64
	b.mu.Lock()
	for i, seq := range seqs {
		if out[i] = b.messages[seq]; out[i] == nil {
			indexBySeq[seq] = i
			missing = append(missing, seq)
		}
	}
	b.mu.Unlock()
	if len(missing) == 0 {
		return out, nil
	}
	if readAhead != nil {
		budget := maxCacheBytes / 2 / max(1, int(b.readers.Load()))
		missing = append(missing, readAhead(missing[len(missing)-1], min(readAheadBytes, budget))...)
	}
	slices.Sort(missing)
	err := b.store.MessagesBySeq(slices.Compact(missing), func(seq uint64, m *pubsubpb.PubsubMessage) {
		b.put(seq, m)
		if i, ok := indexBySeq[seq]; ok {
			out[i] = m
		}
	})
	return out, err
}
