package backlog

import (
	"slices"
	"time"
)

// Snapshot lists the unacknowledged messages in the order of publishing.
func (b *Backlog) Snapshot() []*Message {
	out := make([]*Message, 0, b.unacked)
	for it := b.oldest; it != nil; it = it.newer {
		if it.state != acked {
			out = append(out, it.msg)
		}
	}
	return out
}

// Seeked is what a seek left behind.
type SeekResult struct {
	Unacked  []*Message
	Retained []*Message
	Removed  []*Message
}

// Seek decides anew which messages are acknowledged: those for which unacked
// is true are delivered from the beginning, the others are acknowledged. Extra
// are messages kept elsewhere that join the backlog if unacked. All leases of
// the time before end and can no longer settle anything.
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

	*b = *New(b.policy, b.lastLease)
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

// OldestUnacked is when the oldest unacknowledged message was published.
func (b *Backlog) OldestUnacked() (time.Time, bool) {
	for it := b.oldest; it != nil; it = it.newer {
		if it.state != acked {
			return it.msg.Published, true
		}
	}
	return time.Time{}, false
}
