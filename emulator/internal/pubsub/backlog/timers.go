package backlog

import "container/heap"

// timers is a heap of the leased and delayed items, ordered by deadline and then by publishing. The second order
// matters for an ordering key: the failure of the first message ends the leases of the following ones, which then
// count no failure of their own.
type timers []*item

func (t timers) Len() int { return len(t) }

func (t timers) Less(i, j int) bool {
	if c := t[i].deadline.Compare(t[j].deadline); c != 0 {
		return c < 0
	}
	return t[i].msg.Seq < t[j].msg.Seq
}

func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].timerIndex, t[j].timerIndex = i, j
}

func (t *timers) Push(x any) {
	it := x.(*item)
	it.timerIndex = len(*t)
	*t = append(*t, it)
}

func (t *timers) Pop() any {
	last := len(*t) - 1
	it := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	it.timerIndex = -1
	return it
}

func (t *timers) set(it *item) {
	if it.timerIndex < 0 {
		heap.Push(t, it)
		return
	}
	heap.Fix(t, it.timerIndex)
}

func (t *timers) unset(it *item) {
	if it.timerIndex >= 0 {
		heap.Remove(t, it.timerIndex)
	}
}
