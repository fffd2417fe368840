package history

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The numbers of the policy that waitBound uses, from docs/architecture.md, "The dispatcher". They are written down
// here again, so that a change of internal/domain/dispatch/window.go does not change the bound with it.
const (
	minWindow   = 2                      // the smallest window
	minAhead    = 2                      // executions that wait in the queue when all slots are in use
	aheadTime   = 250 * time.Millisecond // what ends in this time is published ahead
	publishTime = 5 * time.Second        // a draining lane is read every 2.5 s; the rest is for the calls
	janitorTime = 12 * time.Second       // another attempt is published by the janitor, which may sleep for so long
)

// wait is the time from when an attempt could begin until an executor claimed it.
type wait struct {
	execution *execution.Execution // as it was claimed
	TimeRange
}

// hold is the time for which an attempt held its slot, from its claim to its end.
type hold struct {
	tenant string
	lane   execution.Lane
	TimeRange
}

// unfinished is the time from the acceptance of an execution to its end.
type unfinished struct {
	tenant string
	lane   execution.Lane
	TimeRange
	created time.Time // by which the executions of a tenant are ordered
	claimed time.Time // of the first attempt; zero: it never began
}

// load is everything that waits or runs, for waitBound.
type load struct {
	waits      []wait
	holds      []hold
	unfinished []unfinished
}

// load reads the waits, attempts and executions of the history.
func (c *checker) load() load {
	var l load
	finished := map[string]map[int]time.Time{} // conversation, turn
	for _, versions := range c.executions {
		last := lastVersion(versions).Execution
		if last.ConversationID == "" || last.FinishedAt == nil {
			continue
		}
		if finished[last.ConversationID] == nil {
			finished[last.ConversationID] = map[int]time.Time{}
		}
		finished[last.ConversationID][last.Turn] = *last.FinishedAt
	}
	for _, versions := range c.executions {
		first, end := versions[0].Execution, lastVersion(versions)
		u := unfinished{tenant: first.Tenant, lane: first.Lane, TimeRange: TimeRange{versions[0].At, end.At}, created: first.CreatedAt}
		for i, v := range versions[1:] {
			e, before := v.Execution, versions[i].Execution
			if e.Status != execution.Running || before.Status != execution.Queued {
				continue
			}
			if u.claimed.IsZero() {
				u.claimed = v.At
			}
			from := before.QueuedAt
			if previous := finished[e.ConversationID][e.Turn-1]; previous.After(from) {
				from = previous
			}
			l.waits = append(l.waits, wait{e, TimeRange{from, v.At}})
			l.holds = append(l.holds, hold{e.Tenant, e.Lane, TimeRange{v.At, endOfAttempt(versions[i+1:])}})
		}
		l.unfinished = append(l.unfinished, u)
	}
	return l
}

// endOfAttempt returns when the attempt that the first version claimed ended.
func endOfAttempt(versions []Version) time.Time {
	for _, v := range versions {
		if v.Execution.Status != execution.Running {
			return v.At
		}
	}
	return lastVersion(versions).At
}

// WaitBound says how long a wait may take, and why.
type WaitBound struct {
	Limit time.Duration

	Slots   int           // of all executors, in the lane
	Longest time.Duration // for which an attempt held a slot meanwhile
	First   int           // executions before it in the queue when it is published, at most
	Window  int           // of the tenant
	Own     int           // executions of the tenant that were accepted before it and began meanwhile
	Shares  int           // executions that all tenants together may have published at a time
	Publish time.Duration // until it is published
	Faults  time.Duration // of the wait
}

func (b WaitBound) String() string {
	return fmt.Sprintf("%s = %s × (⌈%d/%d⌉ + ⌊%d/%d⌋ × ⌈%d/%d⌉) + %s + %s of faults", round(b.Limit), round(b.Longest),
		b.First, b.Slots, b.Own, b.Window, b.Shares, b.Slots, b.Publish, round(b.Faults))
}

// waitBound returns how long an execution may wait, from its QueuedAt (of a turn: from the end of the turn before it)
// until its claim, if its tenant gets its share:
//
//	limit = longest × (⌈first ÷ slots⌉ + ⌊own ÷ window⌋ × ⌈shares ÷ slots⌉) + publish + faults
//
// An executor takes notifications in their order, so an execution begins when those before it in the queue have each
// held one of the slots: first of them when the wait begins. Then its tenant has window executions published at a time,
// and begins as many each time that all tenants have used up their shares. It must do so for the own executions that
// go before.
//
//   - longest: the longest time for which an attempt held its slot during the wait, by the versions of the executions
//   - slots: History.Slots of the lane. Both lanes use the same slots, so first and shares count both
//   - window(t): part of slots + 2 by weight (History.Weights) among the tenants with unfinished executions, at least
//     2, and what ended of t in a quarter of a second: docs/architecture.md, "The dispatcher". That of the tenant
//     itself is counted at its least: without what ended
//   - own: executions of the tenant in the lane that began during the wait; of single runs and turns only those that
//     were accepted no later. The batches of a tenant take turns
//   - first: of each tenant its unfinished executions, at most as many as the API publishes itself before the
//     dispatcher decides: slots + 2, or the window
//   - shares: of each tenant its unfinished executions, at most that too; the window if more than slots are unfinished
//     from the beginning to the end of the wait, because then the API publishes none of them
//   - publish: 5 s until an execution that may be published is published and claimed; 12 s more for another attempt,
//     which the janitor publishes
//   - faults: the part of the wait that lies in History.Faults
func (c *checker) waitBound(w wait, l load) WaitBound {
	e := w.execution
	b := WaitBound{Slots: c.Slots[e.Lane], Window: minWindow, Publish: publishTime, Faults: overlap(w.TimeRange, c.Faults)}
	if e.Attempt > 1 {
		b.Publish += janitorTime
	}
	for _, h := range l.holds {
		if h.overlaps(w.TimeRange) {
			b.Longest = max(b.Longest, h.To.Sub(h.From))
		}
	}
	type lane struct {
		tenant string
		lane   execution.Lane
	}
	type count struct{ during, atBegin, atEnd, ended int }
	counts := map[lane]count{}
	for _, u := range l.unfinished {
		if !u.overlaps(w.TimeRange) {
			continue
		}
		n := counts[lane{u.tenant, u.lane}]
		n.during++
		if !u.From.After(w.From) {
			n.atBegin++
		}
		if u.To.After(w.To) {
			n.atEnd++
		} else {
			n.ended++
		}
		counts[lane{u.tenant, u.lane}] = n
		began := u.claimed.After(w.From) && u.claimed.Before(w.To)
		if u.tenant == e.Tenant && u.lane == e.Lane && began && (e.Lane == execution.LaneBatch || !u.created.After(e.CreatedAt)) {
			b.Own++
		}
	}
	for key, n := range counts {
		weights := 0.0
		for other := range counts {
			if other.lane == key.lane {
				weights += c.weight(other.tenant)
			}
		}
		slots := c.Slots[key.lane]
		window := max(minWindow, int(math.Ceil(c.weight(key.tenant)/weights*float64(slots+minAhead))))
		if key.tenant == e.Tenant && key.lane == e.Lane {
			b.Window = window
		}
		window += int(float64(n.ended) * min(1, float64(aheadTime)/float64(w.To.Sub(w.From))))
		direct := min(n.during, max(window, slots+minAhead))
		b.First += direct
		if n.atBegin > slots && n.atEnd > slots {
			b.Shares += window
		} else {
			b.Shares += direct
		}
	}
	rounds := ceilDiv(b.First, b.Slots) + b.Own/b.Window*ceilDiv(b.Shares, b.Slots)
	b.Limit = b.Longest*time.Duration(rounds) + b.Publish + b.Faults
	return b
}

func (c *checker) weight(tenant string) float64 {
	if w, ok := c.Weights[tenant]; ok {
		return w
	}
	return 1
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// Waits are the statistics of the waits, and of their bound.
type Waits struct {
	Checked   int // all waits
	Faultless int // of these, without a fault meanwhile: nothing is added to their bound
	Longest   CheckedWait
	// LongestFaultless is the longest of the waits without a fault.
	LongestFaultless CheckedWait
	// Nearest is the one of all waits that took the largest part of its bound.
	Nearest CheckedWait
}

// CheckedWait is one wait and its bound.
type CheckedWait struct {
	Execution, Tenant string
	Took              time.Duration
	Bound             WaitBound
}

func (w CheckedWait) part() float64 { return float64(w.Took) / float64(max(1, w.Bound.Limit)) }

func (w CheckedWait) String() string {
	return fmt.Sprintf("%s of %s: %s of at most %s", w.Execution, w.Tenant, round(w.Took), w.Bound)
}

func (w Waits) String() string {
	return fmt.Sprintf("%d waits checked, %d of them without a fault; the longest: %s; the longest without a fault: %s; the nearest to its bound: %s",
		w.Checked, w.Faultless, w.Longest, w.LongestFaultless, w.Nearest)
}

// checkWaits checks that no execution waited longer than the share of its tenant explains.
func (c *checker) checkWaits() (all Waits) {
	if c.Slots == nil {
		return all
	}
	l := c.load()
	slices.SortFunc(l.waits, func(a, b wait) int { return a.To.Compare(b.To) })
	for _, w := range l.waits {
		if !w.To.After(w.From) {
			continue
		}
		checked := CheckedWait{w.execution.ID, w.execution.Tenant, w.To.Sub(w.From), c.waitBound(w, l)}
		all.Checked++
		if checked.Took > all.Longest.Took {
			all.Longest = checked
		}
		if checked.part() > all.Nearest.part() {
			all.Nearest = checked
		}
		if checked.Bound.Faults == 0 {
			all.Faultless++
			if checked.Took > all.LongestFaultless.Took {
				all.LongestFaultless = checked
			}
		}
		if checked.Took > checked.Bound.Limit {
			c.addViolation(ruleWait, w.execution.ID, "attempt %d: %s", w.execution.Attempt, checked)
		}
	}
	return all
}
