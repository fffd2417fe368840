package execution

// Content tells a content in blob storage by what it must be when it is read
// again. Where it lies follows from the execution, see package artifact.
type Content struct {
	Size   int64  `firestore:"size"` // bytes
	SHA256 []byte `firestore:"sha256"`
}

// File is a file that a job left. Path is relative to the job's output folder,
// clean, valid UTF-8 without control characters, and nobody's on this side: it
// is a name in a list, never a place on a disk.
type File struct {
	Path    string  `firestore:"path"`
	Content Content `firestore:"content"`
}

// MaxFilePaths bounds the paths of an execution's files together, in bytes: the
// list of at most a thousand is kept in its document, beside a result of MaxResult.
const MaxFilePathsBytes = 64 << 10
