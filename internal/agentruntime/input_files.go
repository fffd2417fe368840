package agentruntime

import (
	"cmp"
	"strings"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// addInputFiles adds the task's input files to the runtime's own files. It fails if an input file has the path of one
// of them, or one path is a folder of the other: no attempt could create both. It also fails if the files together do
// not fit into the working folder. The job's streamed files are the uploaded files of the list, in its order; the
// executor opens their contents.
func (r *Run) addInputFiles(task *execution.Task) *execution.Failure {
	runtimeFiles, size := r.Job.Files, int64(0)
	for _, f := range task.InputFileList {
		name := sandbox.WorkspaceDir + "/" + f.Path
		for _, o := range runtimeFiles {
			if o.Path == name || strings.HasPrefix(o.Path, name+"/") || strings.HasPrefix(name, o.Path+"/") {
				return newFailure(execution.CodeInvalidTask, "the input file %q conflicts with the runtime's own file %s", f.Path, o.Path)
			}
		}
		size += f.Content.Size
		if f.FileID != "" {
			r.Job.Streamed = append(r.Job.Streamed, sandbox.StreamedFile{Path: name, Size: f.Content.Size})
		}
	}
	memory := cmp.Or(r.Job.Limits.Memory, sandbox.DefaultLimits.Memory)
	if room := sandbox.WorkspaceCapacity(memory); size > room {
		return newFailure(execution.CodeInvalidTask, "the input files have %d bytes together, and the working folder of this runtime holds %d", size, room)
	}
	for _, f := range task.InputFiles {
		r.Job.Files = append(r.Job.Files, sandbox.File{Path: sandbox.WorkspaceDir + "/" + f.Path, Mode: 0o644, Data: f.Data})
	}
	return nil
}
