package execution

import "crypto/sha256"

// Content identifies bytes in blob storage, so that a reader can check them. Package blob derives their location
// from the execution.
type Content struct {
	Size   int64  `firestore:"size"` // bytes
	SHA256 []byte `firestore:"sha256"`
}

// File is an input or output file. Path is relative to the folder of the job's input or output: clean, valid UTF-8,
// without control characters. It is only a name in a list, never a path on a disk of Airlock.
type File struct {
	Path    string  `firestore:"path"`
	Content Content `firestore:"content"`
	// FileID names the uploaded file that has the content of an input file; empty: it is stored with the execution.
	FileID string `firestore:"fileId,omitempty"`
}

// MaxFilePathsBytes bounds the paths of all output files together. The list, of at most 1000 files, is stored in the
// execution's document.
const MaxFilePathsBytes = 64 << 10

// InputFile is a file that the job reads. Path is relative to the folder in which the agent starts.
type InputFile struct {
	Path   string `firestore:"path"`
	Data   []byte `firestore:"data"`
	FileID string `firestore:"-"` // the uploaded file that has the content; empty: Data has it
}

// Limits of the input files. Those with Data are stored in one document, so that a run and its files are accepted in
// one transaction.
const (
	MaxInputFilesBytes = 768 << 10 // paths and data of all files with Data together
	MaxInputFiles      = 100
)

// Describe returns the entry of Task.InputFileList, without the content of an uploaded file.
func (f *InputFile) Describe() File {
	if f.FileID != "" {
		return File{Path: f.Path, FileID: f.FileID}
	}
	digest := sha256.Sum256(f.Data)
	return File{Path: f.Path, Content: Content{Size: int64(len(f.Data)), SHA256: digest[:]}}
}
