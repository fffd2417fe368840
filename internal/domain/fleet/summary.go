package fleet

import (
	"maps"
	"slices"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Summarize returns what a leader publishes about the sessions, of which none has expired. Partitions stay with their
// previous owners as far as they can; an executor that drains gets none as long as another one lives.
func Summarize(leader string, sessions []Session, previousOwners []string) Fleet {
	f := Fleet{Leader: leader, Slots: map[execution.Lane]int{}}
	var waiting []Waiting
	var pulling []*Executor
	var staying, draining []string
	for _, s := range sessions {
		if s.Kind == KindAPI {
			f.APIs++
		}
		x := s.Executor
		if s.Kind != KindExecutor || x == nil {
			continue
		}
		f.Executors++
		waiting = append(waiting, x.Waiting...)
		if x.Draining || s.Drain {
			draining = append(draining, s.Process)
			continue
		}
		staying = append(staying, s.Process)
		if !x.Pulling {
			continue
		}
		f.Slots[execution.LaneInteractive] += x.Slots
		f.Slots[execution.LaneBatch] += x.Slots - x.Reserved
		pulling = append(pulling, x)
	}
	f.Pools = poolsOf(pulling, waiting)
	if len(staying) == 0 {
		staying = draining
	}
	f.Owners = Assign(previousOwners, staying)
	return f
}

// MovedPartitions returns the processes that have got or lost a partition, sorted.
func MovedPartitions(before, after []string) []string {
	changed := map[string]bool{}
	for i := range Partitions {
		var from, to string
		if i < len(before) {
			from = before[i]
		}
		if i < len(after) {
			to = after[i]
		}
		if from != to {
			changed[from], changed[to] = true, true
		}
	}
	delete(changed, "")
	return slices.Sorted(maps.Keys(changed))
}
