package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// Folders that files may be laid down in. They are empty tmpfs mounts of the
// agent's user.
var writableDirs = []string{"/workspace", "/home/agent"}

// layDown writes the job's files, with the folders that they are in.
func writeFiles(files []frame.File, allowed []string) error {
	for _, f := range files {
		if err := writeFile(f, allowed); err != nil {
			return fmt.Errorf("lay down %s: %w", f.Path, err)
		}
	}
	return nil
}

func writeFile(f frame.File, allowed []string) error {
	for _, dir := range allowed {
		name, ok := strings.CutPrefix(f.Path, dir+"/")
		if !ok {
			continue
		}
		root, err := os.OpenRoot(dir) // nothing in it leads out of it
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
		return root.Chmod(name, os.FileMode(f.Mode).Perm()) // whatever the umask is
	}
	return fmt.Errorf("not below %s", strings.Join(allowed, " or "))
}
