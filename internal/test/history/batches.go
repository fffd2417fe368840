package history

import (
	"cmp"
	"slices"
)

// batch judges that a batch adds up, and never had more in flight than it may.
func (c *checker) checkBatch(id string, batchVersions []Version) {
	for i, v := range batchVersions[1:] {
		c.checkOverdue(id, batchVersions[i].Batch.Due, v.At)
	}
	b := lastVersion(batchVersions).Batch
	if b.FinishedAt == nil {
		c.addViolation("every batch ends", id, "%d of %d inputs", b.NextInput, b.Total)
		return
	}
	var versions []Version
	created := 0
	for _, executionVersions := range c.executions {
		if executionVersions[0].Execution.BatchID != id {
			continue
		}
		created++
		versions = append(versions, executionVersions...)
		if end := lastVersion(executionVersions).Execution; end.FinishedAt != nil && end.FinishedAt.After(*b.FinishedAt) {
			c.addViolation("a batch ends last", id, "at %s, and %s at %s", b.FinishedAt, end.ID, end.FinishedAt)
		}
	}
	if created != b.NextInput || created != b.Total && !b.CancelRequested {
		c.addViolation("every batch adds up", id, "%d executions, %d inputs of %d were fed", created, b.NextInput, b.Total)
	}
	c.checkBatchWindow(id, b.Window, versions)
}

// window judges how many executions of a batch were in flight at once.
func (c *checker) checkBatchWindow(id string, window int, versions []Version) {
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
		if len(inFlight) > window {
			c.addViolation("a batch keeps its window", id, "%d in flight at %s, of %d", len(inFlight), v.At, window)
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
