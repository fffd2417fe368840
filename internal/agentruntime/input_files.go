package agentruntime

import (
	"strings"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// addInputFiles adds the task's input files to the runtime's own files. It fails if an input file has the path of one
// of them, or one path is a folder of the other: no attempt could create both.
func (r *Run) addInputFiles(files []execution.InputFile) *execution.Failure {
	runtimeFiles := r.Job.Files
	for _, f := range files {
		name := sandbox.WorkspaceDir + "/" + f.Path
		for _, o := range runtimeFiles {
			if o.Path == name || strings.HasPrefix(o.Path, name+"/") || strings.HasPrefix(name, o.Path+"/") {
				return newFailure(execution.CodeInvalidTask, "the input file %q conflicts with the runtime's own file %s", f.Path, o.Path)
			}
		}
		r.Job.Files = append(r.Job.Files, sandbox.File{Path: name, Mode: 0o644, Data: f.Data})
	}
	return nil
}
