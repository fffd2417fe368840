// Package configtest prepares the environment of tests that read a configuration from it. The variables of a test come
// in; everything else of this machine's environment is hidden from the test and restored after it.
package configtest

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// SetOnly leaves nothing of this machine's environment but the given variables.
func SetOnly(t *testing.T, vars map[string]string) {
	t.Helper()
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name != "PATH" && name != "HOME" && name != "TMPDIR" {
			t.Setenv(name, "") // makes t restore it
			require.NoError(t, os.Unsetenv(name))
		}
	}
	for name, value := range vars {
		t.Setenv(name, value)
	}
}

// WithEmulators adds the addresses of both emulators, which a complete configuration needs.
func WithEmulators(extra map[string]string) map[string]string {
	vars := map[string]string{"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "PUBSUB_EMULATOR_HOST": "127.0.0.1:2"}
	maps.Copy(vars, extra)
	return vars
}

// WriteFile returns the name of a file with the given content.
func WriteFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}
