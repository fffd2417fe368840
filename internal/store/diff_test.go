package store

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// fixedFields are the fields of an execution's document that no event changes.
var fixedFields = []string{
	"id", "tenant", "kind", "shard", "lane", "agentId", "agentVersion", "conversationId", "turn", "batchId", "retryOf", "webhook", "traceparent", "traceLink",
	"labels", "task", "timeout", "queueTimeout", "retry", "maxAttempts", "createdAt", "watchers", "holder",
	"usageFence",                                 // settleEnd changes it
	"transcriptRetention", "transcriptDeletedAt", // ExpiredTranscripts sets the latter
}

// A field that is missing in mutableFields is never written after the execution was accepted.
func TestEveryStoredFieldIsMutableOrFixed(t *testing.T) {
	classified := append([]string(nil), fixedFields...)
	for _, f := range mutableFields {
		classified = append(classified, f.name)
	}
	require.ElementsMatch(t, storedFields(reflect.TypeFor[execution.Execution]()), classified,
		"add the field to mutableFields in diff.go if an event changes it, else to fixedFields here")
}

// storedFields returns the names of a struct's fields in its document.
func storedFields(t reflect.Type) (names []string) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("firestore"), ",")
		switch {
		case f.Anonymous && name == "":
			names = append(names, storedFields(f.Type)...)
		case name != "-":
			names = append(names, name)
		}
	}
	return names
}
