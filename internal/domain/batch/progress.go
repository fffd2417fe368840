package batch

import (
	"maps"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Progress counts the inputs of a batch by their state.
type Progress struct {
	Pending            int                      // inputs that have had no execution yet
	ByStatus           map[execution.Status]int // inputs with an execution
	Missing            int                      // inputs whose execution was deleted, or that were lost
	CostUSD            float64
	EstimatedRemaining time.Duration // 0: no execution has ended yet, or all have
}

// Progress returns the counts of all inputs. executions counts the executions of the batch by status. Inputs that never
// got an execution, because the batch was canceled, count as canceled.
//
// The statuses are counted one after another, so while executions run the counts may miss one that is between two of
// them. Only in a finished batch does an execution that no count contains not exist.
func (b *Batch) Progress(executions map[execution.Status]int, costUSD float64, now time.Time) Progress {
	p := Progress{Pending: b.Total - b.NextInput, ByStatus: maps.Clone(executions), CostUSD: costUSD}
	if b.CancelRequested {
		p.ByStatus[execution.Canceled] += p.Pending
		p.Pending = 0
	}
	p.Missing = b.LostInputs
	if b.FinishedAt != nil {
		p.Missing = b.NextInput
		for _, n := range executions {
			p.Missing -= n
		}
	}
	finished := p.Missing
	for status, n := range p.ByStatus {
		if status.Terminal() {
			finished += n
		}
	}
	if unfinished := b.Total - finished; finished > 0 && unfinished > 0 && b.FinishedAt == nil {
		elapsed := float64(now.Sub(b.CreatedAt))
		p.EstimatedRemaining = time.Duration(elapsed / float64(finished) * float64(unfinished)).Round(time.Second)
	}
	return p
}
