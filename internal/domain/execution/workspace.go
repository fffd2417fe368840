package execution

// Workspace describes the files that a job left in its working folder, with which a later job can begin. Their
// snapshot, a tar that is compressed with zstd, is in blob storage below the execution whose attempt stored it.
type Workspace struct {
	ExecutionID string `firestore:"executionId"`
	Attempt     int    `firestore:"attempt"`
	// Content is the snapshot; Size 0: the folder was empty, and there is no content.
	Content Content `firestore:"content"`
}

// Empty reports whether a job that begins with it has no files. nil is empty.
func (w *Workspace) Empty() bool { return w == nil || w.Content.Size == 0 }

// WorkspaceLoss says why an execution that ran left no workspace. A later turn of its conversation then begins with the
// workspace before it.
type WorkspaceLoss string

// The reasons.
const (
	WorkspaceTooLarge    WorkspaceLoss = "too_large"   // larger than the operator allows
	WorkspaceUnreadable  WorkspaceLoss = "unreadable"  // the agent left something that cannot be read
	WorkspaceNoTime      WorkspaceLoss = "no_time"     // the job was ended before its files were packed
	WorkspaceUnavailable WorkspaceLoss = "unavailable" // blob storage did not take it
)
