package agentruntime

import (
	"strings"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// workspace is the folder in which agents start.
const workspacePrefix = "/workspace/"

// layGiven adds the files that the run is given to those of the runtime. One
// that would take the place of another cannot be laid down by any attempt.
func (r *Run) addInputFiles(files []execution.InputFile) *execution.Failure {
	runtimeFiles := r.Job.Files
	for _, f := range files {
		name := workspacePrefix + f.Path
		for _, o := range runtimeFiles {
			if o.Path == name || strings.HasPrefix(o.Path, name+"/") || strings.HasPrefix(name, o.Path+"/") {
				return newFailure(execution.CodeInvalidTask, "the file %q is in the way of the runtime's own %s", f.Path, o.Path)
			}
		}
		r.Job.Files = append(r.Job.Files, sandbox.File{Path: name, Mode: 0o644, Data: f.Data})
	}
	return nil
}
