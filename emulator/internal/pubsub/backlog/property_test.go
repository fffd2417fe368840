package backlog_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
)

// model takes random steps on a backlog and computes, in a simple and slow way, what the backlog may do.
type model struct {
	b      *backlog.Backlog
	policy backlog.Policy
	now    time.Time

	seq          uint64
	messages     map[uint64]*backlog.Message // all that were ever added
	unacked      map[uint64]bool
	leases       map[uint64]lease  // current leases by sequence number
	pastLeases   []lease           // all leases, ended or not
	lastLease    map[uint64]uint64 // the newest lease of each message, unless revoked
	backoffUntil map[uint64]time.Time
	failures     map[uint64]int
	consumers    []*backlog.Consumer
	closed       map[*backlog.Consumer]bool
	ready        map[*backlog.Consumer]bool
}

type lease struct {
	backlog.Delivery
	consumer  *backlog.Consumer
	deadline  time.Time
	confirmed bool
}

func newModel(t *rapid.T) *model {
	p := backlog.Policy{
		Ordered:     rapid.Bool().Draw(t, "ordered"),
		ExactlyOnce: rapid.Bool().Draw(t, "exactly once"),
		RetainAcked: rapid.Bool().Draw(t, "retain"),
	}
	if rapid.Bool().Draw(t, "backoff") {
		p.MinBackoff, p.MaxBackoff = 2*time.Second, 10*time.Second
	}
	m := &model{
		b: backlog.New(p, 1000), policy: p, now: time.Unix(1_000_000, 0),
		messages: map[uint64]*backlog.Message{}, unacked: map[uint64]bool{}, leases: map[uint64]lease{}, lastLease: map[uint64]uint64{},
		backoffUntil: map[uint64]time.Time{}, failures: map[uint64]int{}, closed: map[*backlog.Consumer]bool{},
		ready: map[*backlog.Consumer]bool{},
	}
	for range 3 {
		m.consumers = append(m.consumers, &backlog.Consumer{
			MaxOutstandingMessages: rapid.IntRange(0, 4).Draw(t, "max messages"),
			MaxOutstandingBytes:    rapid.IntRange(0, 40).Draw(t, "max bytes"),
		})
	}
	return m
}

func (m *model) add(t *rapid.T) {
	m.seq++
	msg := &backlog.Message{
		Seq: m.seq, Size: rapid.IntRange(1, 20).Draw(t, "size"), Published: m.now,
		Key: rapid.SampledFrom([]string{"", "k", "l"}).Draw(t, "key"),
	}
	m.messages[m.seq], m.unacked[m.seq] = msg, true
	m.b.Add(msg, 0)
}

func (m *model) lease(t *rapid.T) {
	c := rapid.SampledFrom(m.consumers).Draw(t, "consumer")
	d := time.Duration(rapid.IntRange(1, 20).Draw(t, "deadline")) * time.Second
	m.leaseAndCheck(t, c, d)
}

func (m *model) leaseAndCheck(t *rapid.T, c *backlog.Consumer, d time.Duration) []backlog.Delivery {
	m.expire()
	could := m.b.CanLease(c)
	out := m.b.Lease(m.now, c, backlog.LeaseRequest{Duration: d, MaxMessages: 5, MaxBytes: 50})
	if could != (len(out) > 0) {
		t.Fatalf("CanLease returned %v, Lease delivered %d", could, len(out))
	}
	for _, d2 := range out {
		m.checkDelivery(t, c, d2)
		l := lease{Delivery: d2, consumer: c, deadline: m.now.Add(d)}
		m.leases[d2.Message.Seq] = l
		m.lastLease[d2.Message.Seq] = d2.Lease
		m.pastLeases = append(m.pastLeases, l)
	}
	if len(out) > 0 {
		m.ready[c] = false
	}
	m.checkFlowControl(t, c)
	return out
}

// checkDelivery fails the test if the delivery breaks a promise of the package.
func (m *model) checkDelivery(t *rapid.T, c *backlog.Consumer, d backlog.Delivery) {
	seq := d.Message.Seq
	if _, leased := m.leases[seq]; leased || !m.unacked[seq] {
		t.Fatalf("delivered %d, which is leased or acknowledged", seq)
	}
	if m.now.Before(m.backoffUntil[seq]) {
		t.Fatalf("delivered %d during its back-off", seq)
	}
	if m.closed[c] {
		t.Fatalf("delivered %d to a closed consumer", seq)
	}
	if !m.ordered(seq) {
		return
	}
	for other := range m.unacked {
		if m.messages[other].Key != d.Message.Key || other == seq {
			continue
		}
		l, leased := m.leases[other]
		if other < seq && !leased {
			t.Fatalf("delivered %d before %d of the same key", seq, other)
		}
		if leased && l.consumer != c {
			t.Fatalf("delivered %d while %d of the same key is leased to another consumer", seq, other)
		}
	}
}

func (m *model) checkFlowControl(t *rapid.T, c *backlog.Consumer) {
	messages, bytes, last := 0, 0, 0
	for _, l := range m.leases {
		if l.consumer == c {
			messages++
			bytes += l.Message.Size
			last = max(last, l.Message.Size)
		}
	}
	if messages != c.Outstanding() {
		t.Fatalf("%d messages are outstanding, the consumer counts %d", messages, c.Outstanding())
	}
	if c.MaxOutstandingMessages > 0 && messages > c.MaxOutstandingMessages {
		t.Fatalf("%d messages outstanding, %d allowed", messages, c.MaxOutstandingMessages)
	}
	if c.MaxOutstandingBytes > 0 && bytes >= c.MaxOutstandingBytes+20 {
		t.Fatalf("%d bytes outstanding, %d allowed", bytes, c.MaxOutstandingBytes)
	}
}

func (m *model) ack(t *rapid.T) {
	l, ok := m.anyLease(t)
	if !ok {
		return
	}
	m.expire()
	seq := l.Message.Seq
	current := m.leases[seq].Lease == l.Lease
	_, outcome := m.b.Ack(m.now, seq, l.Lease)
	works := outcome == backlog.Removed || outcome == backlog.Retained
	late := !m.policy.ExactlyOnce && (!m.ordered(seq) || m.lastLease[seq] == l.Lease)
	if want := m.unacked[seq] && (current || late); works != want {
		t.Fatalf("ack of %d: outcome %d, want success: %v", seq, outcome, want)
	}
	if works {
		delete(m.unacked, seq)
		delete(m.leases, seq)
		delete(m.backoffUntil, seq)
	}
}

func (m *model) nack(t *rapid.T) {
	l, ok := m.anyLease(t)
	if !ok {
		return
	}
	m.expire()
	current := m.leases[l.Message.Seq].Lease == l.Lease
	outcome := m.b.ModifyAckDeadline(m.now, l.Message.Seq, l.Lease, 0)
	if current != (outcome == backlog.Nacked) {
		t.Fatalf("nack of %d: outcome %d, current %v", l.Message.Seq, outcome, current)
	}
	if current {
		m.failDelivery(l.Message.Seq, m.now)
	}
}

func (m *model) extend(t *rapid.T) {
	l, ok := m.anyLease(t)
	if !ok {
		return
	}
	m.expire()
	d := time.Duration(rapid.IntRange(1, 30).Draw(t, "extension")) * time.Second
	seq := l.Message.Seq
	current := m.leases[seq].Lease == l.Lease
	outcome := m.b.ModifyAckDeadline(m.now, seq, l.Lease, d)
	if current != (outcome == backlog.Extended) {
		t.Fatalf("extension of %d: outcome %d, current %v", seq, outcome, current)
	}
	if current {
		l = m.leases[seq]
		l.deadline, l.confirmed = m.now.Add(d), true
		m.leases[seq] = l
	}
}

func (m *model) advanceTime(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 8).Draw(t, "seconds")) * time.Second)
	m.expire()
}

func (m *model) closeConsumer(t *rapid.T) {
	i := rapid.IntRange(0, len(m.consumers)-1).Draw(t, "consumer")
	m.close(m.consumers[i])
	m.consumers[i] = &backlog.Consumer{}
}

// close closes the consumer and, in the model, ends its leases that were not confirmed, latest first.
func (m *model) close(c *backlog.Consumer) {
	m.expire()
	m.b.CloseConsumer(c)
	m.closed[c] = true
	var unconfirmed []uint64
	for seq, l := range m.leases {
		if l.consumer == c && !l.confirmed {
			unconfirmed = append(unconfirmed, seq)
		}
	}
	slices.Sort(unconfirmed)
	for _, seq := range slices.Backward(unconfirmed) {
		delete(m.leases, seq)
		m.revokeLater(seq)
	}
}

func (m *model) confirm(t *rapid.T) {
	c := rapid.SampledFrom(m.consumers).Draw(t, "consumer")
	m.b.Confirm(c)
	for seq, l := range m.leases {
		if l.consumer == c {
			l.confirmed = true
			m.leases[seq] = l
		}
	}
}

func (m *model) setReady(t *rapid.T) {
	c := rapid.SampledFrom(m.consumers).Draw(t, "consumer")
	m.ready[c] = rapid.Bool().Draw(t, "ready")
	m.b.SetReady(c, m.ready[c])
}

// checkSharing fails the test if messages wait although a ready consumer has room for them, or if a consumer may take
// a message that one with fewer messages is ready for.
func (m *model) checkSharing(t *rapid.T) {
	var least *backlog.Consumer // the ready consumer with room and the fewest messages
	for _, c := range m.consumers {
		if m.ready[c] && m.hasRoom(c) && (least == nil || c.Outstanding() < least.Outstanding()) {
			least = c
		}
	}
	shared := m.sharedMessages()
	if least == nil || shared == 0 {
		return
	}
	if !m.b.CanLease(least) {
		t.Fatalf("%d messages wait, and the ready consumer with the fewest may not take one", shared)
	}
	for _, c := range m.consumers {
		if shared == 1 && !m.policy.Ordered && c.Outstanding() > least.Outstanding() && m.b.CanLease(c) {
			t.Fatalf("a consumer with %d messages may take the only one, another has %d", c.Outstanding(), least.Outstanding())
		}
	}
}

func (m *model) hasRoom(c *backlog.Consumer) bool {
	bytes := 0
	for _, l := range m.leases {
		if l.consumer == c {
			bytes += l.Message.Size
		}
	}
	return (c.MaxOutstandingMessages <= 0 || c.Outstanding() < c.MaxOutstandingMessages) &&
		(c.MaxOutstandingBytes <= 0 || bytes < c.MaxOutstandingBytes)
}

// sharedMessages counts the messages that any consumer may get: of an ordering key the first, if none is leased.
func (m *model) sharedMessages() int {
	n := 0
	for seq := range m.unacked {
		_, leased := m.leases[seq]
		if leased || m.now.Before(m.backoffUntil[seq]) || m.ordered(seq) && m.keyIsBusy(seq) {
			continue
		}
		n++
	}
	return n
}

// keyIsBusy reports whether an earlier message of the key is unacknowledged or any is leased.
func (m *model) keyIsBusy(seq uint64) bool {
	for other := range m.unacked {
		if m.messages[other].Key != m.messages[seq].Key || other == seq {
			continue
		}
		if _, leased := m.leases[other]; leased || other < seq {
			return true
		}
	}
	return false
}

func (m *model) seek(t *rapid.T) {
	from := rapid.Uint64Range(0, m.seq+1).Draw(t, "from")
	r := m.b.Seek(nil, func(msg *backlog.Message) bool { return msg.Seq >= from })
	for seq := range m.unacked {
		if seq < from {
			delete(m.unacked, seq)
		}
	}
	for _, msg := range r.Unacked {
		m.unacked[msg.Seq] = true
	}
	clear(m.leases)
	clear(m.backoffUntil)
	clear(m.failures)
	m.pastLeases = nil
}

// dropAll also checks that no lease is left.
func (m *model) dropAll(t *rapid.T) {
	dropped := m.b.DropAll()
	if len(dropped) < len(m.unacked) || m.b.Len() != 0 {
		t.Fatalf("dropped %d of at least %d messages, %d are left", len(dropped), len(m.unacked), m.b.Len())
	}
	for _, c := range m.consumers {
		if c.Outstanding() != 0 {
			t.Fatalf("a consumer has %d leases of dropped messages", c.Outstanding())
		}
	}
	if _, ok := m.b.NextExpiry(); ok {
		t.Fatalf("a timer is left")
	}
	clear(m.unacked)
	clear(m.leases)
	clear(m.backoffUntil)
	clear(m.failures)
	m.pastLeases = nil
}

func (m *model) anyLease(t *rapid.T) (lease, bool) {
	if len(m.pastLeases) == 0 {
		return lease{}, false
	}
	return rapid.SampledFrom(m.pastLeases).Draw(t, "lease"), true
}

// expire calls Expire and does the same in the model. Leases that end in the same call end in the order of their
// deadlines, then of publishing.
func (m *model) expire() {
	m.b.Expire(m.now)
	var over []uint64
	for seq, l := range m.leases {
		if !l.deadline.After(m.now) {
			over = append(over, seq)
		}
	}
	slices.SortFunc(over, func(x, y uint64) int {
		return cmp.Or(m.leases[x].deadline.Compare(m.leases[y].deadline), cmp.Compare(x, y))
	})
	for _, seq := range over {
		if _, ok := m.leases[seq]; ok {
			m.failDelivery(seq, m.now)
		}
	}
}

// failDelivery ends the lease of the message and of all later messages of the same key.
func (m *model) failDelivery(seq uint64, at time.Time) {
	delete(m.leases, seq)
	m.failures[seq]++
	if m.policy.MinBackoff > 0 {
		m.backoffUntil[seq] = at.Add(min(m.policy.MinBackoff<<(min(m.failures[seq], 10)-1), m.policy.MaxBackoff))
	}
	m.revokeLater(seq)
}

// revokeLater ends the leases of the later messages of the same key.
func (m *model) revokeLater(seq uint64) {
	if !m.ordered(seq) {
		return
	}
	for later, l := range m.leases {
		if later > seq && l.Message.Key == m.messages[seq].Key {
			delete(m.leases, later)
			delete(m.lastLease, later)
		}
	}
}

func (m *model) ordered(seq uint64) bool { return m.policy.Ordered && m.messages[seq].Key != "" }

// ackRemaining checks that no message was lost: one consumer gets and acknowledges all remaining messages.
func (m *model) ackRemaining(t *rapid.T) {
	for _, c := range m.consumers {
		m.close(c)
	}
	last := &backlog.Consumer{}
	for range 200 {
		if len(m.unacked) == 0 {
			break
		}
		m.now = m.now.Add(time.Minute)
		for _, d := range m.leaseAndCheck(t, last, time.Second) {
			if _, outcome := m.b.Ack(m.now, d.Message.Seq, d.Lease); outcome == backlog.Invalid {
				t.Fatalf("ack of a current lease is invalid")
			}
			delete(m.unacked, d.Message.Seq)
			delete(m.leases, d.Message.Seq)
		}
	}
	if len(m.unacked) > 0 || m.b.Unacked() != 0 {
		t.Fatalf("lost %v, the backlog counts %d", m.unacked, m.b.Unacked())
	}
	if _, ok := m.b.NextExpiry(); ok {
		t.Fatalf("a timer is left")
	}
}

func TestBacklogMatchesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"add":            m.add,
			"lease":          m.lease,
			"lease2":         m.lease,
			"ack":            m.ack,
			"nack":           m.nack,
			"extend":         m.extend,
			"advance time":   m.advanceTime,
			"close consumer": m.closeConsumer,
			"confirm":        m.confirm,
			"ready":          m.setReady,
			"seek":           m.seek,
			"drop all":       m.dropAll,
			"": func(t *rapid.T) {
				if m.b.Unacked() != len(m.unacked) {
					t.Fatalf("the backlog counts %d unacknowledged, the model %d", m.b.Unacked(), len(m.unacked))
				}
				m.checkSharing(t)
			},
		})
		m.ackRemaining(t)
	})
}
