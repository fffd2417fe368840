package blob

import (
	"fmt"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Key is the location of a content: tenant/execution/attempt/name. It contains the attempt, so an attempt that has lost
// its lease never overwrites a content of the next attempt. It contains nothing that an agent has chosen.
type Key struct {
	ref     execution.Ref
	attempt int
	name    string
}

// ResultKey returns the key of the complete result of the execution's newest attempt.
func ResultKey(e *execution.Execution) Key { return Key{e.Ref(), e.Attempt, "result"} }

// FileKey returns the key of the file at an index of Execution.Files, of the newest attempt.
func FileKey(e *execution.Execution, index int) Key {
	return Key{e.Ref(), e.Attempt, fmt.Sprintf("file-%04d", index)}
}

// SessionKey returns the key of an agent session of a tenant.
func SessionKey(tenant string, s *execution.AgentSession) Key {
	return Key{execution.Ref{Tenant: tenant, ID: s.ExecutionID}, s.Attempt, "session"}
}

// WorkspaceKey returns the key of a workspace of a tenant.
func WorkspaceKey(tenant string, w *execution.Workspace) Key {
	return Key{execution.Ref{Tenant: tenant, ID: w.ExecutionID}, w.Attempt, "workspace"}
}

func (k Key) String() string {
	return fmt.Sprintf("%s%d/%s", executionPrefix(k.ref), k.attempt, k.name)
}

// executionPrefix is the prefix of all keys of an execution, and of no other key.
func executionPrefix(ref execution.Ref) string { return ref.Tenant + "/" + ref.ID + "/" }
