package history

// checkBatch checks that a batch finishes and has one execution for each input.
func (c *checker) checkBatch(id string, batchVersions []Version) {
	b := lastVersion(batchVersions).Batch
	if b.FinishedAt == nil {
		c.addViolation(ruleBatchFinishes, id, "%d of %d inputs", b.NextInput, b.Total)
		return
	}
	executions := 0
	for _, executionVersions := range c.executions {
		if executionVersions[0].Execution.BatchID != id {
			continue
		}
		executions++
		if e := lastVersion(executionVersions).Execution; e.FinishedAt != nil && e.FinishedAt.After(*b.FinishedAt) {
			c.addViolation(ruleBatchFinishesLast, id, "finished at %s, and %s at %s", b.FinishedAt, e.ID, e.FinishedAt)
		}
	}
	if executions != b.NextInput || executions != b.Total && !b.CancelRequested {
		c.addViolation(ruleBatchComplete, id, "%d executions, %d of %d inputs dispatched", executions, b.NextInput, b.Total)
	}
}
