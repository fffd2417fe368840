package sandbox

import "io"

// OutDir is where a job leaves files that are to outlive it.
const OutputDir = "/workspace/out"

// Bounds of what goes into a sandbox and comes out of it.
const (
	MaxFileBytes   = 8 << 20  // bytes of Job.Files in all
	MaxOutputBytes = 64 << 20 // bytes of Outcome.Files in all
	MaxOutputFiles = 1000     // of Outcome.Files
	MaxPathBytes   = 1024     // bytes of one path
)

// File is laid down in the sandbox before the agent starts, owned by the
// agent's user. Path is absolute and lies below /workspace or /home/agent.
type File struct {
	Path string
	Mode uint32 // permission bits
	Data []byte
}

// OutFile is a regular file that the job left below OutDir, or where
// Job.Collect said; no link was followed to it. Path is absolute, clean, valid
// UTF-8 without control characters, and the sandbox's: whoever writes it to a
// disk has to choose the folder. Content can be read until Outcome.Close.
type OutputFile struct {
	Path    string
	Mode    uint32 // permission bits
	Content *io.SectionReader
}
