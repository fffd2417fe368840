package sandbox

import "io"

// MaxSnapshotBytes bounds Job.MaxSnapshot.
const MaxSnapshotBytes = 1 << 30

// Workspace is a snapshot with which a job's workspace begins: a tar that is compressed with zstd.
type Workspace struct {
	Content io.Reader
	Size    int64  // bytes of Content
	SHA256  []byte // of Content; only for jobs whose agent is started ahead
}

// Snapshot is what a job left in its workspace.
type Snapshot struct {
	State   SnapshotState     // empty: the job asked for none
	Content *io.SectionReader // nil unless State is SnapshotComplete
}

// SnapshotState says what became of the snapshot of a workspace.
type SnapshotState string

// The states.
const (
	SnapshotComplete SnapshotState = "complete"
	SnapshotEmpty    SnapshotState = "empty"     // the workspace has no files
	SnapshotTooLarge SnapshotState = "too_large" // larger than Job.MaxSnapshot
	SnapshotFailed   SnapshotState = "failed"    // the agent left something that cannot be read
	SnapshotNoTime   SnapshotState = "no_time"   // the job was stopped, or ended by force, before it was complete
)
