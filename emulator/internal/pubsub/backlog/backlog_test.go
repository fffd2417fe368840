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
	b.Confirm(one)
	b.CloseConsumer(one)
	require.False(t, b.CanLease(two))
	b.Ack(start, 1, d[0].Lease)
	require.Equal(t, []uint64{2}, seqs(leaseMessages(b, start, two, 2)))
}

func TestCloseConsumerFreesWhatIsNotConfirmed(t *testing.T) {
	b := newBacklog(backlog.Policy{MinBackoff: time.Hour, MaxBackoff: time.Hour, MaxDeliveryAttempts: 1}, 6, "")
	one, two := &backlog.Consumer{}, &backlog.Consumer{}
	d := leaseMessages(b, start, one, 5)
	require.Equal(t, backlog.Extended, b.ModifyAckDeadline(start, 2, d[1].Lease, time.Minute))
	require.Equal(t, backlog.Nacked, b.ModifyAckDeadline(start, 5, d[4].Lease, 0))
	require.Len(t, b.TakeExhausted(), 1)
	b.CloseConsumer(one)
	require.Equal(t, 1, one.Outstanding(), "the confirmed message stays leased")

	again := leaseMessages(b, start, two, 5)
	require.Equal(t, []uint64{1, 3, 4, 6}, seqs(again), "without back-off, in the order of publishing")
	require.Equal(t, 1, again[0].Attempt, "the message may not have arrived: no failed delivery")
	require.Empty(t, b.TakeExhausted())
	_, outcome := b.Ack(start, 1, d[0].Lease)
	require.Equal(t, backlog.Removed, outcome, "a late acknowledgement is valid")
}

func TestCloseConsumerKeepsOrderOfKey(t *testing.T) {
	b := newBacklog(backlog.Policy{Ordered: true}, 4, "k")
	one, two := &backlog.Consumer{}, &backlog.Consumer{}
	d := leaseMessages(b, start, one, 4)
	for _, i := range []int{0, 2} {
		require.Equal(t, backlog.Extended, b.ModifyAckDeadline(start, d[i].Message.Seq, d[i].Lease, time.Minute))
	}
	b.CloseConsumer(one)
	require.Equal(t, 1, one.Outstanding(), "3 is confirmed, but comes after 2, which is delivered again")
	require.False(t, b.CanLease(two), "1 is leased to the closed consumer")
	b.Ack(start, 1, d[0].Lease)
	require.Equal(t, []uint64{2, 3, 4}, seqs(leaseMessages(b, start, two, 4)))
}

func TestReadyConsumersShareMessages(t *testing.T) {
	b := newBacklog(backlog.Policy{}, 10, "")
	one, two := &backlog.Consumer{}, &backlog.Consumer{MaxOutstandingMessages: 3}
	late, busy := &backlog.Consumer{}, &backlog.Consumer{}
	b.SetReady(one, true)
	b.SetReady(two, true)
	b.SetReady(busy, true)
	b.SetReady(busy, false)
	require.Len(t, leaseMessages(b, start, one, 100), 7, "all but what fits the limit of the other one")
	b.SetReady(one, true)
	require.False(t, b.CanLease(one), "the rest is for the one with fewer messages")
	require.Len(t, leaseMessages(b, start, two, 100), 3)

	b.SetReady(late, true)
	b.Add(&backlog.Message{Seq: 11, Size: 1}, 0)
	require.False(t, b.CanLease(one))
	require.False(t, b.CanLease(two))
	require.True(t, b.CanLease(late))
	b.CloseConsumer(late)
	require.True(t, b.CanLease(one), "a consumer that has gone needs nothing")
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

// A consumer may be closed long after the messages that it has not confirmed were dropped.
func TestCloseConsumerAfterDropAll(t *testing.T) {
	for key, p := range map[string]backlog.Policy{"": {}, "k": {Ordered: true}} {
		b := newBacklog(p, 4, key)
		one, two := &backlog.Consumer{MaxOutstandingMessages: 3}, &backlog.Consumer{}
		require.Len(t, leaseMessages(b, start, one, 3), 3)
		require.Len(t, b.DropAll(), 4)
		require.Zero(t, one.Outstanding())
		b.CloseConsumer(one)
		_, timer := b.NextExpiry()
		require.False(t, timer)
		require.False(t, b.CanLease(two))
	}
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
