package blob

import (
	"fmt"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Key is where a content lies. It holds the attempt, so that one that has lost
// its lease can never overwrite what the next one put there, and nothing that
// an agent has chosen.
type Key struct {
	ref     execution.Ref
	attempt int
	name    string
}

// ResultOf is the key of a large result of the execution's newest attempt.
func ResultKey(e *execution.Execution) Key { return Key{e.Ref(), e.Attempt, "result"} }

// FileOf is the key of the newest attempt's file with that index in Files.
func FileKey(e *execution.Execution, index int) Key {
	return Key{e.Ref(), e.Attempt, fmt.Sprintf("file-%04d", index)}
}

func (k Key) String() string {
	return fmt.Sprintf("%s%d/%s", executionPrefix(k.ref), k.attempt, k.name)
}

// folder begins all keys of an execution and of no other.
func executionPrefix(ref execution.Ref) string { return ref.Tenant + "/" + ref.ID + "/" }
