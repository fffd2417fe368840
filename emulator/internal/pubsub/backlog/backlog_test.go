package backlog_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
)

var start = time.Unix(1_000_000, 0)

// newBacklog returns a backlog of n messages, numbered from 1 and published a second apart.
func newBacklog(p backlog.Policy, n int, key string) *backlog.Backlog {
	b := backlog.New(p, 0)
	for i := range n {
		b.Add(&backlog.Message{Seq: uint64(i + 1), Size: 1, Key: key, Published: start.Add(time.Duration(i) * time.Second)}, 0)
	}
	return b
}

func leaseMessages(b *backlog.Backlog, now time.Time, c *backlog.Consumer, n int) []backlog.Delivery {
	return b.Lease(now, c, backlog.LeaseRequest{Duration: 10 * time.Second, MaxMessages: n, MaxBytes: 1 << 20})
}

func seqs(ds []backlog.Delivery) []uint64 {
	var out []uint64
	for _, d := range ds {
		out = append(out, d.Message.Seq)
	}
	return out
}

func TestFailingMessageDoesNotStarveOthers(t *testing.T) {
	b := newBacklog(backlog.Policy{}, 10, "")
	c := &backlog.Consumer{MaxOutstandingMessages: 1}
	acked := 0
	for range 40 {
		d := leaseMessages(b, start, c, 1)[0]
		if d.Message.Seq == 1 {
			require.Equal(t, backlog.Nacked, b.ModifyAckDeadline(start, 1, d.Lease, 0))
			continue
		}
		b.Ack(start, d.Message.Seq, d.Lease)
		if acked++; acked == 9 {
			return
		}
	}
	require.Fail(t, "the message that always fails blocks the others")
}

func TestNewMessagesDoNotStarveRedelivery(t *testing.T) {
	b := newBacklog(backlog.Policy{}, 100, "")
	c := &backlog.Consumer{MaxOutstandingMessages: 1}
	first := leaseMessages(b, start, c, 1)[0]
	b.ModifyAckDeadline(start, first.Message.Seq, first.Lease, 0)
	for range 5 {
		d := leaseMessages(b, start, c, 1)[0]
		if d.Message.Seq == first.Message.Seq {
			require.Equal(t, 2, d.Attempt)
			return
		}
		b.Ack(start, d.Message.Seq, d.Lease)
	}
	require.Fail(t, "the failed message waits behind all others")
}

func TestExhaustedMessageWaitsForRemoveOrRedeliver(t *testing.T) {
	b := newBacklog(backlog.Policy{Ordered: true, MaxDeliveryAttempts: 2}, 2, "k")
	c := &backlog.Consumer{}
	for range 2 {
		require.Empty(t, b.TakeExhausted())
		d := leaseMessages(b, start, c, 2)
		require.Equal(t, []uint64{1, 2}, seqs(d))
		b.ModifyAckDeadline(start, 1, d[0].Lease, 0)
	}
	dead := b.TakeExhausted()
	require.Len(t, dead, 1)
	require.Equal(t, 2, b.Failures(1))
	require.Empty(t, leaseMessages(b, start, c, 2), "the next message of the key waits too")

	b.Redeliver(start, 1)
	d := leaseMessages(b, start, c, 2)
	require.Equal(t, []uint64{1, 2}, seqs(d))
	b.ModifyAckDeadline(start, 1, d[0].Lease, 0)
	require.Len(t, b.TakeExhausted(), 1)
	m, outcome := b.Remove(1)
	require.Equal(t, backlog.Removed, outcome)
	require.EqualValues(t, 1, m.Seq)
	require.Equal(t, []uint64{2}, seqs(leaseMessages(b, start, c, 2)))
}

func TestOrderedExpiryCountsOneFailurePerKey(t *testing.T) {
	b := newBacklog(backlog.Policy{Ordered: true}, 3, "k")
	c := &backlog.Consumer{}
	require.Len(t, leaseMessages(b, start, c, 3), 3)
	b.Expire(start.Add(10 * time.Second))
	var attempts []int
	for _, d := range leaseMessages(b, start.Add(10*time.Second), c, 3) {
		attempts = append(attempts, d.Attempt)
	}
	require.Equal(t, []int{2, 1, 1}, attempts)
}

func TestOrderingKeyMovesToNextConsumer(t *testing.T) {
	b := newBacklog(backlog.Policy{Ordered: true}, 2, "k")
	one, two := &backlog.Consumer{MaxOutstandingMessages: 1}, &backlog.Consumer{}
	d := leaseMessages(b, start, one, 2)
	require.Equal(t, []uint64{1}, seqs(d))
	require.False(t, b.CanLease(two), "the other consumer has a lease of the key")
	b.CloseConsumer(one)
	require.False(t, b.CanLease(two))
	b.Ack(start, 1, d[0].Lease)
	require.Equal(t, []uint64{2}, seqs(leaseMessages(b, start, two, 2)))
}

func TestDropBefore(t *testing.T) {
	b := newBacklog(backlog.Policy{RetainAcked: true}, 5, "")
	c := &backlog.Consumer{}
	d := leaseMessages(b, start, c, 2)
	_, outcome := b.Ack(start, 1, d[0].Lease)
	require.Equal(t, backlog.Retained, outcome)
	dropped := b.DropBefore(start.Add(3 * time.Second))
	require.Len(t, dropped, 3, "one acknowledged, one leased, one waiting")
	require.Equal(t, 2, b.Len())
	require.Equal(t, 2, b.Unacked())
	require.Zero(t, c.Outstanding())
	require.Equal(t, []uint64{4, 5}, seqs(leaseMessages(b, start, c, 5)))
}

func TestSeekRedeliversRetainedAndExtra(t *testing.T) {
	b := newBacklog(backlog.Policy{RetainAcked: true}, 3, "")
	c := &backlog.Consumer{}
	for _, d := range leaseMessages(b, start, c, 3) {
		b.Ack(start, d.Message.Seq, d.Lease)
	}
	extra := []*backlog.Message{{Seq: 2, Size: 1}, {Seq: 9, Size: 1}}
	r := b.Seek(extra, func(m *backlog.Message) bool { return m.Seq >= 2 })
	require.Len(t, r.Unacked, 3)
	require.Len(t, r.Retained, 1)
	require.Empty(t, r.Removed)
	require.Equal(t, []uint64{2, 3, 9}, seqs(leaseMessages(b, start, c, 9)))
}

func TestLeaseBoundsBytes(t *testing.T) {
	b := newBacklog(backlog.Policy{}, 5, "")
	lease := func(c *backlog.Consumer, maxBytes int) []backlog.Delivery {
		return b.Lease(start, c, backlog.LeaseRequest{Duration: time.Second, MaxMessages: 5, MaxBytes: maxBytes})
	}
	require.Len(t, lease(&backlog.Consumer{}, 2), 2)
	require.Len(t, lease(&backlog.Consumer{MaxOutstandingBytes: 1}, 1<<20), 1)
}

func TestReadAheadListsWaitingMessages(t *testing.T) {
	b := newBacklog(backlog.Policy{}, 6, "")
	require.Len(t, leaseMessages(b, start, &backlog.Consumer{}, 2), 2)
	for name, c := range map[string]struct {
		after           uint64
		messages, bytes int
		want            []uint64
	}{
		"all waiting":            {1, 100, 100, []uint64{3, 4, 5, 6}},
		"limit of messages":      {1, 3, 100, []uint64{3, 4, 5}},
		"limit of bytes":         {3, 100, 2, []uint64{4, 5}},
		"few inspected messages": {1, 1, 100, []uint64{3}},
		"after the last message": {6, 100, 100, nil},
		"unknown message":        {7, 100, 100, nil},
		"no bytes allowed":       {1, 100, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, b.ReadAhead(c.after, c.messages, c.bytes))
		})
	}
}
