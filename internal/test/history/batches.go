package history

import (
	"cmp"
	"slices"
)

// checkBatch checks that a batch finishes, has one execution for each input, and stays within its window.
func (c *checker) checkBatch(id string, batchVersions []Version) {
	for i, v := range batchVersions[1:] {
		c.checkOverdue(id, batchVersions[i].Batch.Due, v.At)
	}
	b := lastVersion(batchVersions).Batch
	if b.FinishedAt == nil {
		c.addViolation(ruleBatchFinishes, id, "%d of %d inputs", b.NextInput, b.Total)
		return
	}
	var versions []Version
	executions := 0
	for _, executionVersions := range c.executions {
		if executionVersions[0].Execution.BatchID != id {
			continue
		}
		executions++
		versions = append(versions, executionVersions...)
		if e := lastVersion(executionVersions).Execution; e.FinishedAt != nil && e.FinishedAt.After(*b.FinishedAt) {
			c.addViolation(ruleBatchFinishesLast, id, "finished at %s, and %s at %s", b.FinishedAt, e.ID, e.FinishedAt)
		}
	}
	if executions != b.NextInput || executions != b.Total && !b.CancelRequested {
		c.addViolation(ruleBatchComplete, id, "%d executions, %d of %d inputs dispatched", executions, b.NextInput, b.Total)
	}
	c.checkBatchWindow(id, b.Window, versions)
}

// checkBatchWindow checks how many executions of a batch were in flight at the same time.
func (c *checker) checkBatchWindow(id string, window int, versions []Version) {
	// Of several versions of one instant, the final states come first: they free the places that new executions take.
	slices.SortStableFunc(versions, func(a, b Version) int {
		return cmp.Or(a.At.Compare(b.At), compareFinalFirst(a, b))
	})
	inFlight := map[string]bool{}
	for _, v := range versions {
		if v.Execution.Status.Terminal() {
			delete(inFlight, v.Execution.ID)
			continue
		}
		inFlight[v.Execution.ID] = true
		if len(inFlight) > window {
			c.addViolation(ruleBatchWindow, id, "%d in flight at %s, window %d", len(inFlight), v.At, window)
			return
		}
	}
}

func compareFinalFirst(a, b Version) int {
	aFinal, bFinal := a.Execution.Status.Terminal(), b.Execution.Status.Terminal()
	switch {
	case aFinal == bFinal:
		return 0
	case aFinal:
		return -1
	default:
		return 1
	}
}
