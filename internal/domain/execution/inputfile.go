package execution

import "crypto/sha256"

// Given is a file that a run is given. Path is relative to the folder in which
// the agent starts.
type InputFile struct {
	Path string `firestore:"path"`
	Data []byte `firestore:"data"`
}

// Bounds of what a run is given. All of it is one document beside the
// execution's, so that a run and its files are accepted in one transaction.
const (
	MaxInputFilesBytes = 768 << 10 // bytes of paths and data together
	MaxInputFiles      = 100
)

// List says of given files what the execution's document says of them.
func DescribeInputFiles(files []InputFile) []File {
	var list []File
	for _, f := range files {
		digest := sha256.Sum256(f.Data)
		list = append(list, File{Path: f.Path, Content: Content{Size: int64(len(f.Data)), SHA256: digest[:]}})
	}
	return list
}
