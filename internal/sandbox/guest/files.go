package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// writableDirs are the directories of input files and output files: tmpfs mounts that belong to the agent's user.
var writableDirs = []string{sandbox.WorkspaceDir, sandbox.HomeDir}

// writeFiles writes the job's input files, and creates the directories that they need.
func writeFiles(files []sandbox.File, allowed []string) error {
	for _, f := range files {
		if err := writeFile(f, allowed); err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
	}
	return nil
}

func writeFile(f sandbox.File, allowed []string) error {
	for _, dir := range allowed {
		name, ok := strings.CutPrefix(f.Path, dir+"/")
		if !ok {
			continue
		}
		root, err := os.OpenRoot(dir) // no name and no link leads out of it
		if err != nil {
			return err
		}
		defer root.Close()
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(name, f.Data, 0o600); err != nil {
			return err
		}
		return root.Chmod(name, os.FileMode(f.Mode).Perm()) // independent of the umask
	}
	return fmt.Errorf("not below %s", strings.Join(allowed, " or "))
}
