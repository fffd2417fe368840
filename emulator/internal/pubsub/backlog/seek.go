package backlog

import (
	"slices"
	"time"
)

// Snapshot lists the unacknowledged messages in the order of publishing.
func (b *Backlog) Snapshot() []*Message {
	out := make([]*Message, 0, b.unacked)
	for it := b.oldest; it != nil; it = it.younger {
		if it.state != acked {
			out = append(out, it.msg)
		}
	}
	return out
}

// Seeked is what a seek left behind.
type Seeked struct {
	Unacked  []*Message
	Retained []*Message
	Freed    []*Message
}

// Seek decides anew which messages are acknowledged: those for which unacked
// is true are delivered from the beginning, the others are acknowledged. Extra
// are messages kept elsewhere that join the backlog if unacked. All leases of
// the time before end and can no longer settle anything.
func (b *Backlog) Seek(extra []*Message, unacked func(*Message) bool) Seeked {
	all := make([]*Message, 0, len(b.items)+len(extra))
	held := make(map[uint64]bool, len(b.items))
	for it := b.oldest; it != nil; it = it.younger {
		if it.state == leased {
			b.unlease(it)
		}
		if it.queue != nil {
			it.unqueue()
		}
		held[it.msg.Seq] = true
		all = append(all, it.msg)
	}
	for _, m := range extra {
		if !held[m.Seq] {
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
	b.sought = b.lastLease
	var s Seeked
	for _, m := range all {
		switch {
		case unacked(m):
			b.Add(m, 0)
			s.Unacked = append(s.Unacked, m)
		case !held[m.Seq]:
		case b.policy.RetainAcked:
			b.AddAcked(m)
			s.Retained = append(s.Retained, m)
		default:
			s.Freed = append(s.Freed, m)
		}
	}
	return s
}

// OldestUnacked is when the oldest unacknowledged message was published.
func (b *Backlog) OldestUnacked() (time.Time, bool) {
	for it := b.oldest; it != nil; it = it.younger {
		if it.state != acked {
			return it.msg.Published, true
		}
	}
	return time.Time{}, false
}
