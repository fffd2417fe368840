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
	// maxCacheBytes limits the bodies in memory, of all subscriptions together.
	maxCacheBytes = 16 << 20
	// cacheEntryOverhead is an estimate of the memory for one body in addition to its content, in bytes.
	cacheEntryOverhead = 256
	// Limits of one read-ahead.
	readAheadMessages = 256
	readAheadBytes    = 512 << 10
)

// messageCache holds messages in memory: those just published, because a reader is probably waiting for them, and
// those read ahead, because a scan over many messages costs little more than reading one. It evicts the oldest first.
// Readers share the messages and must not change them.
//
// A deleted message may stay in the cache. Sequence numbers are never used again, so no reader asks for it.
type messageCache struct {
	store   *store.Store
	readers atomic.Int64 // number of open readers, which share the budget for read-ahead

	mu       sync.Mutex
	messages map[uint64]*pubsubpb.PubsubMessage
	order    []cacheEntry // oldest first
	bytes    int
}

type cacheEntry struct {
	seq   uint64
	bytes int
}

func newMessageCache(st *store.Store) *messageCache {
	return &messageCache{store: st, messages: make(map[uint64]*pubsubpb.PubsubMessage)}
}

func (c *messageCache) put(seq uint64, m *pubsubpb.PubsubMessage) {
	n := proto.Size(m) + cacheEntryOverhead
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.messages[seq] != nil {
		return
	}
	c.messages[seq] = m
	c.order = append(c.order, cacheEntry{seq, n})
	c.bytes += n
	for c.bytes > maxCacheBytes {
		first := c.order[0]
		c.order = c.order[1:]
		c.bytes -= first.bytes
		delete(c.messages, first.seq)
	}
}

// get returns the messages in the order of seqs, with nil for a deleted one. If it has to read messages from the
// store, it also reads those that readAhead returns: the expected next messages after seq, of the given total size.
// readAhead may be nil.
func (c *messageCache) get(seqs []uint64, readAhead func(seq uint64, bytes int) []uint64) ([]*pubsubpb.PubsubMessage, error) {
	out := make([]*pubsubpb.PubsubMessage, len(seqs))
	indexBySeq := make(map[uint64]int) // index in out of each missing message
	var missing []uint64
	c.mu.Lock()
	for i, seq := range seqs {
		if out[i] = c.messages[seq]; out[i] == nil {
			indexBySeq[seq] = i
			missing = append(missing, seq)
		}
	}
	c.mu.Unlock()
	if len(missing) == 0 {
		return out, nil
	}
	if readAhead != nil {
		budget := maxCacheBytes / 2 / max(1, int(c.readers.Load()))
		missing = append(missing, readAhead(missing[len(missing)-1], min(readAheadBytes, budget))...)
	}
	slices.Sort(missing)
	err := c.store.MessagesBySeq(slices.Compact(missing), func(seq uint64, m *pubsubpb.PubsubMessage) {
		c.put(seq, m)
		if i, ok := indexBySeq[seq]; ok {
			out[i] = m
		}
	})
	return out, err
}
