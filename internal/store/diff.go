package store

import (
	"reflect"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// mutableFields lists the fields of an execution that events change, by their names in the document. The task is not
// among them, so no event writes the input again.
var mutableFields = []struct {
	name  string
	value func(*execution.Execution) any
}{
	{"status", func(e *execution.Execution) any { return e.Status }},
	{"attempt", func(e *execution.Execution) any { return e.Attempt }},
	{"retriedFailures", func(e *execution.Execution) any { return e.RetriedFailures }},
	{"failedAttempts", func(e *execution.Execution) any { return e.FailedAttempts }},
	{"startFailures", func(e *execution.Execution) any { return e.StartFailures }},
	{"attempts", func(e *execution.Execution) any { return e.Attempts }},
	{"lease", func(e *execution.Execution) any { return e.Lease }},
	{"cancelRequested", func(e *execution.Execution) any { return e.CancelRequested }},
	{"due", func(e *execution.Execution) any { return e.Due }},
	{"result", func(e *execution.Execution) any { return e.Result }},
	{"error", func(e *execution.Execution) any { return e.Failure }},
	{"partialText", func(e *execution.Execution) any { return e.PartialText }},
	{"usage", func(e *execution.Execution) any { return e.Usage }},
	{"usageBundle", func(e *execution.Execution) any { return e.UsageBundle }},
	{"files", func(e *execution.Execution) any { return e.Files }},
	{"omittedFileCount", func(e *execution.Execution) any { return e.OmittedFileCount }},
	{"network", func(e *execution.Execution) any { return e.Network }},
	{"workspace", func(e *execution.Execution) any { return e.Workspace }},
	{"workspaceLost", func(e *execution.Execution) any { return e.WorkspaceLost }},
	{"receipt", func(e *execution.Execution) any { return e.Receipt }},
	{"steps", func(e *execution.Execution) any { return e.Steps }},
	{"queuedAt", func(e *execution.Execution) any { return e.QueuedAt }},
	{"startedAt", func(e *execution.Execution) any { return e.StartedAt }},
	{"transcriptBound", func(e *execution.Execution) any { return e.TranscriptBound }},
	{"transcriptExpiresAt", func(e *execution.Execution) any { return e.TranscriptExpiresAt }},
	{"finishedAt", func(e *execution.Execution) any { return e.FinishedAt }},
}

// diffExecution returns the updates that turn the document of before into that of after. A zero field is not stored, so
// its update deletes the field.
func diffExecution(before, after *execution.Execution) []firestore.Update {
	var updates []firestore.Update
	for _, field := range mutableFields {
		oldValue, newValue := field.value(before), field.value(after)
		if reflect.DeepEqual(oldValue, newValue) {
			continue
		}
		if reflect.ValueOf(newValue).IsZero() {
			newValue = firestore.Delete
		}
		updates = append(updates, firestore.Update{Path: field.name, Value: newValue})
	}
	return updates
}
