package backlog

import (
	"slices"
	"time"
)

// Snapshot returns the unacknowledged messages in the order of publishing.
func (b *Backlog) Snapshot() []*Message {
	out := make([]*Message, 0, b.unacked)
	for it := b.oldest; it != nil; it = it.newer {
		if it.state != acked {
			out = append(out, it.msg)
		}
	}
	return out
}

// SeekResult lists the messages by their state after a seek.
type SeekResult struct {
	Unacked  []*Message // waiting for delivery
	Retained []*Message // acknowledged, in the backlog
	Removed  []*Message // acknowledged, not in the backlog any more
}

// Seek sets for each message whether it is acknowledged. Messages for which unacked returns true are delivered
// again, in the order of publishing; the others are acknowledged. Messages of extra, which are retained elsewhere,
// join the backlog if unacked returns true. All leases from before the seek become invalid.
func (b *Backlog) Seek(extra []*Message, unacked func(*Message) bool) SeekResult {
	all := make([]*Message, 0, len(b.items)+len(extra))
	known := make(map[uint64]bool, len(b.items))
	for it := b.oldest; it != nil; it = it.newer {
		if it.state == leased {
			b.endLease(it)
		}
		if it.queue != nil {
			it.dequeue()
		}
		known[it.msg.Seq] = true
		all = append(all, it.msg)
	}
	for _, m := range extra {
		if !known[m.Seq] {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(x, y *Message) int {
		if x.Seq < y.Seq {
			return -1
		}
		return 1
	})

	ready := b.ready
	*b = *New(b.policy, b.lastLease)
	b.ready = ready
	b.lastLeaseBeforeSeek = b.lastLease
	var s SeekResult
	for _, m := range all {
		switch {
		case unacked(m):
			b.Add(m, 0)
			s.Unacked = append(s.Unacked, m)
		case !known[m.Seq]:
		case b.policy.RetainAcked:
			b.AddAcked(m)
			s.Retained = append(s.Retained, m)
		default:
			s.Removed = append(s.Removed, m)
		}
	}
	return s
}

// OldestUnacked returns when the oldest unacknowledged message was published.
func (b *Backlog) OldestUnacked() (time.Time, bool) {
	for it := b.oldest; it != nil; it = it.newer {
		if it.state != acked {
			return it.msg.Published, true
		}
	}
	return time.Time{}, false
}
