package dispatch

import (
	"math"
	"slices"
	"time"
)

func decay(elapsed float64) float64 { return math.Exp(-max(0, elapsed)) }

// Candidate is a queued execution that may be published. One that waits for its back-off is none: the janitor publishes
// it.
type Candidate struct {
	ID             string
	Runtime        string
	ConversationID string // empty: it belongs to none
	BatchID        string // empty: it belongs to none
}

// Lane is what the dispatcher knows about the executions of a tenant that wait in one order: those of its interactive
// lane, or those of one batch. The zero Lane is not usable; NewLane makes one. It is
// not safe for concurrent use.
type Lane struct {
	inFlight      map[string]place
	runtimes      map[string]int         // how many executions in flight have a runtime
	conversations map[string]int         // how many executions in flight belong to a conversation
	waiting       []Candidate            // read and not published, in the order in which they are published
	full          int                    // how many of these the last Take has passed over, because their pool was full
	behind        map[string][]Candidate // by conversation: turns that wait for an earlier one in flight, in their order
	held          int
	ends          map[string]rate // by runtime
}

// place is one execution in flight.
type place struct {
	Candidate
	publishedAt time.Time // of the last notification by this dispatcher
	republished int
}

// NewLane returns a lane of which nothing is known.
func NewLane() *Lane {
	return &Lane{
		inFlight: map[string]place{}, runtimes: map[string]int{}, conversations: map[string]int{}, behind: map[string][]Candidate{},
		ends: map[string]rate{},
	}
}

// InFlight returns how many executions are published or running.
func (l *Lane) InFlight() int { return len(l.inFlight) }

// InFlightOf returns how many executions of some runtimes are published or running.
func (l *Lane) InFlightOf(runtimes []string) (n int) {
	for _, name := range runtimes {
		n += l.runtimes[name]
	}
	return n
}

// Waiting returns how many executions are read and not published.
func (l *Lane) Waiting() int { return len(l.waiting) }

// Ready returns how many of them the last Take has not passed over.
func (l *Lane) Ready() int { return len(l.waiting) - l.full }

// Recheck makes the next Take look again at those that the last one has passed over.
func (l *Lane) Recheck() { l.full = 0 }

// Runtimes returns the runtimes of the executions that are in flight, or read and not published.
func (l *Lane) Runtimes() map[string]bool {
	names := map[string]bool{}
	for name := range l.runtimes {
		names[name] = true
	}
	for _, c := range l.waiting {
		names[c.Runtime] = true
	}
	return names
}

// Held reports whether executions wait for an executor that can run them.
func (l *Lane) Held() bool { return l.held > 0 }

// Behind reports whether turns wait for an earlier one in flight.
func (l *Lane) Behind() bool { return len(l.behind) > 0 }

// EndsPerSecond returns how fast executions of some runtimes have ended lately.
func (l *Lane) EndsPerSecond(runtimes []string, now time.Time) (sum float64) {
	for _, name := range runtimes {
		ends := l.ends[name]
		sum += ends.get(now)
	}
	return sum
}

// Adopt counts an execution as in flight that this dispatcher did not publish. Nobody tells the dispatcher of its end,
// so it is always Unreported.
func (l *Lane) Adopt(c Candidate) { l.enter(c, time.Time{}) }

func (l *Lane) enter(c Candidate, now time.Time) {
	if _, known := l.inFlight[c.ID]; known {
		return
	}
	l.inFlight[c.ID] = place{Candidate: c, publishedAt: now}
	l.runtimes[c.Runtime]++
	if c.ConversationID != "" {
		l.conversations[c.ConversationID]++
	}
}

// Offer adds executions that were read, the oldest first. Those that are known already are ignored.
func (l *Lane) Offer(candidates []Candidate) {
	known := make(map[string]struct{}, len(l.waiting))
	for _, c := range l.waiting {
		known[c.ID] = struct{}{}
	}
	for _, turns := range l.behind {
		for _, c := range turns {
			known[c.ID] = struct{}{}
		}
	}
	for _, c := range candidates {
		_, waits := known[c.ID]
		_, inFlight := l.inFlight[c.ID]
		if !waits && !inFlight {
			l.waiting = append(l.waiting, c)
		}
	}
}

// Room says whether another execution of a runtime may be in flight.
type Room int

// The rooms.
const (
	NoExecutor Room = iota // no living executor can start the runtime
	Full                   // as many are in flight as may be
	Free
)

// Take removes at most n of the waiting executions, the oldest first, and counts them as in flight: the caller
// publishes them. It asks before each one what room its runtime has. It passes over
//
//   - an execution whose runtime no living executor can start: it is held until Rewind.
//   - an execution for which there is no room: it goes on waiting, and so does a later turn of its conversation.
//   - a turn while an earlier turn of its conversation is in flight: it waits behind that one. As a rule the end of the
//     earlier turn publishes it, and End says so. If that has ended before this one was accepted, nobody else does.
func (l *Lane) Take(n int, now time.Time, room func(runtime string) Room) (taken []Candidate) {
	rest := l.waiting
	var full []Candidate
	waits := map[string]bool{} // conversations of which an earlier turn is among full
	for len(rest) > 0 && len(taken) < n {
		c := rest[0]
		rest = rest[1:]
		switch r := room(c.Runtime); {
		case c.ConversationID != "" && l.conversations[c.ConversationID] > 0:
			l.behind[c.ConversationID] = append(l.behind[c.ConversationID], c)
		case r == NoExecutor:
			l.held++
		case r == Full, waits[c.ConversationID]:
			full = append(full, c)
			waits[c.ConversationID] = c.ConversationID != ""
		default:
			l.enter(c, now)
			taken = append(taken, c)
		}
	}
	l.full = len(full)
	l.waiting = slices.Concat(full, rest)
	return taken
}

// PutBack makes executions wait again, before all others, that were taken and not published.
func (l *Lane) PutBack(candidates []Candidate) {
	for _, c := range candidates {
		l.leave(c.ID)
	}
	l.waiting = append(append(make([]Candidate, 0, len(candidates)+len(l.waiting)), candidates...), l.waiting...)
}

// Rewind forgets what was held and what was read: the caller reads the waiting executions again from the oldest.
func (l *Lane) Rewind() {
	l.held, l.waiting, l.full = 0, nil, 0
	clear(l.behind)
}

// End removes an execution that has ended and reports whether it was in flight. next is the turn that was published
// because of it, or empty: it takes the place.
func (l *Lane) End(id, next string, now time.Time) bool {
	p, known := l.inFlight[id]
	l.leave(id)
	if next != "" {
		l.enter(Candidate{ID: next, ConversationID: p.ConversationID, Runtime: p.Runtime}, now)
	}
	l.release(p.ConversationID, next)
	if known {
		ends := l.ends[p.Runtime]
		ends.add(1, now)
		l.ends[p.Runtime] = ends
	}
	return known
}

// release makes the turns wait again, before all others, that were behind one of their conversation, unless another one
// is in flight now. next is in flight itself.
func (l *Lane) release(conversation, next string) {
	turns := slices.DeleteFunc(l.behind[conversation], func(c Candidate) bool { return c.ID == next })
	switch {
	case len(turns) > 0 && l.conversations[conversation] > 0:
		l.behind[conversation] = turns
		return
	case len(turns) > 0:
		l.waiting = slices.Concat(turns, l.waiting)
	}
	delete(l.behind, conversation)
}

// Unreport says that nobody will tell of the end of an execution in flight, as of one that was adopted.
func (l *Lane) Unreport(id string) {
	if p, known := l.inFlight[id]; known {
		p.publishedAt = time.Time{}
		l.inFlight[id] = p
	}
}

// GiveUp removes an execution that does not run for now: the caller learns of it later.
func (l *Lane) GiveUp(id string) {
	conversation := l.inFlight[id].ConversationID
	l.leave(id)
	l.release(conversation, "")
}

func (l *Lane) leave(id string) {
	p, known := l.inFlight[id]
	if !known {
		return
	}
	delete(l.inFlight, id)
	if l.runtimes[p.Runtime]--; l.runtimes[p.Runtime] == 0 {
		delete(l.runtimes, p.Runtime)
	}
	if p.ConversationID == "" {
		return
	}
	if l.conversations[p.ConversationID]--; l.conversations[p.ConversationID] == 0 {
		delete(l.conversations, p.ConversationID)
	}
}

// Unreported returns the executions in flight whose notification is older than age. Their ends may have been missed.
func (l *Lane) Unreported(now time.Time, age time.Duration) (ids []string) {
	for id, p := range l.inFlight {
		if now.Sub(p.publishedAt) >= age {
			ids = append(ids, id)
		}
	}
	return ids
}

// Notifications that seem to be lost are published again after minRepublish, and then each time after twice as long, at
// most maxRepublish. Pub/Sub keeps a message for days, so a second one is rarely needed.
const (
	minRepublish = 45 * time.Second
	maxRepublish = time.Hour
)

// Republish reports whether an execution that is still queued needs another notification now, and counts it.
func (l *Lane) Republish(id string, now time.Time) bool {
	p, known := l.inFlight[id]
	wait := min(minRepublish<<min(p.republished, 10), maxRepublish)
	if !known || now.Sub(p.publishedAt) < wait {
		return false
	}
	p.publishedAt = now
	p.republished++
	l.inFlight[id] = p
	return true
}
