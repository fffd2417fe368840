package batch

import (
	"maps"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Progress counts the inputs of a batch by their state.
type Progress struct {
	Pending            int                      // inputs without an execution
	ByStatus           map[execution.Status]int // inputs with an execution
	CostUSD            float64
	EstimatedRemaining time.Duration // 0: no execution has ended yet, or all have
}

// Progress returns the counts of all inputs. executions counts the executions of the batch by status. Inputs that never
// got an execution, because the batch was canceled, count as canceled.
func (b *Batch) Progress(executions map[execution.Status]int, costUSD float64, now time.Time) Progress {
	p := Progress{Pending: b.Total - b.NextInput, ByStatus: maps.Clone(executions), CostUSD: costUSD}
	if b.CancelRequested {
		p.ByStatus[execution.Canceled] += p.Pending
		p.Pending = 0
	}
	finished := 0
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
