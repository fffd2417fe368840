package history

import (
	"cmp"
	"slices"
)

// batch judges that a batch adds up, and never had more in flight than it may.
func (c *check) batch(id string, life []Version) {
	for i, v := range life[1:] {
		c.overdue(id, life[i].Batch.Due, v.At)
	}
	b := last(life).Batch
	if b.FinishedAt == nil {
		c.report("every batch ends", id, "%d of %d inputs", b.Next, b.Total)
		return
	}
	var versions []Version
	made := 0
	for _, of := range c.executions {
		if of[0].Execution.BatchID != id {
			continue
		}
		made++
		versions = append(versions, of...)
		if end := last(of).Execution; end.FinishedAt != nil && end.FinishedAt.After(*b.FinishedAt) {
			c.report("a batch ends last", id, "at %s, and %s at %s", b.FinishedAt, end.ID, end.FinishedAt)
		}
	}
	if made != b.Next || made != b.Total && !b.CancelRequested {
		c.report("every batch adds up", id, "%d executions, %d inputs of %d were fed", made, b.Next, b.Total)
	}
	c.window(id, b.Window, versions)
}

// window judges how many executions of a batch were in flight at once.
func (c *check) window(id string, most int, versions []Version) {
	// At one instant what ends makes room before what is made takes it.
	slices.SortStableFunc(versions, func(a, b Version) int {
		return cmp.Or(a.At.Compare(b.At), -compareBool(a.Execution.Status.Terminal(), b.Execution.Status.Terminal()))
	})
	inFlight := map[string]bool{}
	for _, v := range versions {
		if v.Execution.Status.Terminal() {
			delete(inFlight, v.Execution.ID)
			continue
		}
		inFlight[v.Execution.ID] = true
		if len(inFlight) > most {
			c.report("a batch keeps its window", id, "%d in flight at %s, of %d", len(inFlight), v.At, most)
			return
		}
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}
