package blob

import (
	"fmt"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Key is the location of a content: tenant/execution/attempt/name, or tenant/file/content. It contains the attempt, so
// an attempt that has lost its lease never overwrites a content of the next attempt. It contains nothing that an agent
// has chosen.
type Key struct{ path string }

func attemptKey(ref execution.Ref, attempt int, name string) Key {
	return Key{fmt.Sprintf("%s%d/%s", prefix(ref), attempt, name)}
}

// ResultKey returns the key of the complete result of the execution's newest attempt.
func ResultKey(e *execution.Execution) Key { return attemptKey(e.Ref(), e.Attempt, "result") }

// FileKey returns the key of the file at an index of Execution.Files, of the newest attempt.
func FileKey(e *execution.Execution, index int) Key {
	return attemptKey(e.Ref(), e.Attempt, fmt.Sprintf("file-%04d", index))
}

// SessionKey returns the key of an agent session of a tenant.
func SessionKey(tenant string, s *execution.AgentSession) Key {
	return attemptKey(execution.Ref{Tenant: tenant, ID: s.ExecutionID}, s.Attempt, "session")
}

// WorkspaceKey returns the key of a workspace of a tenant.
func WorkspaceKey(tenant string, w *execution.Workspace) Key {
	return attemptKey(execution.Ref{Tenant: tenant, ID: w.ExecutionID}, w.Attempt, "workspace")
}

// UploadKey returns the key of an uploaded file of a tenant.
func UploadKey(tenant, fileID string) Key {
	return Key{prefix(execution.Ref{Tenant: tenant, ID: fileID}) + "content"}
}

func (k Key) String() string { return k.path }

// prefix is the prefix of all keys of an execution or an uploaded file, and of no other key.
func prefix(ref execution.Ref) string { return ref.Tenant + "/" + ref.ID + "/" }
