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
}

// MaxFilePathsBytes bounds the paths of all output files together. The list, of at most 1000 files, is stored in the
// execution's document.
const MaxFilePathsBytes = 64 << 10

// InputFile is a file that the job reads. Path is relative to the folder in which the agent starts.
type InputFile struct {
	Path string `firestore:"path"`
	Data []byte `firestore:"data"`
}

// Limits of the input files. They are stored in one document, so that a run and its files are accepted in one
// transaction.
const (
	MaxInputFilesBytes = 768 << 10 // paths and data of all files together
	MaxInputFiles      = 100
)

// DescribeInputFiles returns the entries of Task.InputFileList.
func DescribeInputFiles(files []InputFile) []File {
	var list []File
	for _, f := range files {
		digest := sha256.Sum256(f.Data)
		list = append(list, File{Path: f.Path, Content: Content{Size: int64(len(f.Data)), SHA256: digest[:]}})
	}
	return list
}
