package sandbox

import "io"

// Directories of a sandbox. WorkspaceDir and HomeDir belong to the agent's user. Input files are written below them,
// and output files are collected from them.
const (
	WorkspaceDir = "/workspace"          // the agent's working directory
	HomeDir      = "/home/agent"         // the agent's HOME
	OutputDir    = WorkspaceDir + "/out" // every regular file below it becomes an output file
	StreamDir    = "/run/output"         // the agent's standard streams; only sandbox-init uses it
)

// Limits on the files that enter and leave a sandbox.
const (
	MaxFileBytes   = 24 << 20 // sum over Job.Files, bytes
	MaxStreamed    = 128      // number of Job.Streamed
	MaxOutputBytes = 64 << 20 // sum over Outcome.Files, bytes
	MaxOutputFiles = 1000     // number of Outcome.Files
	MaxPathBytes   = 1024     // length of one path, bytes
	MaxFolderBytes = 16 << 20 // tar of Job.Folder, bytes; nothing of a larger folder is collected
)

// File is an input file. Init writes it before the agent starts, and the agent's user owns it. Path is absolute and
// below WorkspaceDir or HomeDir.
type File struct {
	Path string
	Mode uint32 // permission bits; 0 means 0644
	Data []byte
}

// StreamedFile is an input file that is never in memory as a whole. It is otherwise like File, and replaces a file of
// the job's workspace that has its path.
type StreamedFile struct {
	Path    string
	Mode    uint32 // permission bits; 0 means 0644
	Size    int64  // bytes of Content
	Content io.Reader
}

// WorkspaceCapacity returns how many bytes WorkspaceDir can hold in a sandbox with a memory limit.
func WorkspaceCapacity(memory int64) int64 { return memory / 8 * 3 >> 20 << 20 }

// OutputFile is a regular file that the job left below OutputDir or at a path of Job.Collect. At the path of Job.Folder
// it is a tar of the regular files below that folder. Init follows no symbolic link to reach it. Path is absolute,
// clean, valid UTF-8 without control characters, and names a place in the sandbox: code that writes the file to a disk
// chooses the directory there. Content is readable until Outcome.Close.
type OutputFile struct {
	Path    string
	Mode    uint32 // permission bits
	Content *io.SectionReader
}
