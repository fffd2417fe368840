package config

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/app/config/configtest"
)

const testSecret = "sk-in-a-file"

func TestSecretFromFile(t *testing.T) {
	for name, text := range map[string]string{
		"alone": testSecret, "with a line break": testSecret + "\n", "of Windows": testSecret + "\r\n",
	} {
		configtest.SetOnly(t, map[string]string{"ANTHROPIC_API_KEY_FILE": configtest.WriteFile(t, text)})
		c, err := LoadExecutor()
		require.NoError(t, err, name)
		require.Equal(t, testSecret, c.AnthropicAPIKey, name)
		found, err := LookupSecret("ANTHROPIC_API_KEY")
		require.NoError(t, err, name)
		require.Equal(t, testSecret, found, name)
	}
	largest := strings.Repeat("x", 64<<10)
	link := filepath.Join(t.TempDir(), "link") // as Kubernetes mounts a secret
	require.NoError(t, os.Symlink(configtest.WriteFile(t, largest), link))
	configtest.SetOnly(t, map[string]string{"ANTHROPIC_API_KEY_FILE": link})
	found, err := LookupSecret("ANTHROPIC_API_KEY")
	require.NoError(t, err)
	require.Equal(t, largest, found)
	// Compose sets a variable that is not there to nothing.
	configtest.SetOnly(t, map[string]string{"ANTHROPIC_API_KEY": "", "ANTHROPIC_API_KEY_FILE": configtest.WriteFile(t, " a b ")})
	found, err = LookupSecret("ANTHROPIC_API_KEY")
	require.NoError(t, err)
	require.Equal(t, " a b ", found, "only the line break does not count")
	configtest.SetOnly(t, map[string]string{"ANTHROPIC_API_KEY": testSecret, "ANTHROPIC_API_KEY_FILE": ""})
	c, err := LoadExecutor()
	require.NoError(t, err)
	require.Equal(t, testSecret, c.AnthropicAPIKey)
}

// A mistake is one of all that are reported at once, and never shows the secret.
func TestSecretFileMistakes(t *testing.T) {
	unreadable := filepath.Join(t.TempDir(), "folder")
	require.NoError(t, os.Mkdir(unreadable, 0o700))
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	socket, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	require.NoError(t, err)
	defer socket.Close()
	for name, tc := range map[string]struct{ value, file, says string }{
		"both":         {testSecret, configtest.WriteFile(t, testSecret), "ANTHROPIC_API_KEY and ANTHROPIC_API_KEY_FILE are both set"},
		"no such file": {"", "/nowhere", "ANTHROPIC_API_KEY_FILE: stat /nowhere"},
		"a folder":     {"", unreadable, "ANTHROPIC_API_KEY_FILE: " + unreadable + " is not a regular file"},
		"a pipe":       {"", pipe, pipe + " is not a regular file"},
		"a device":     {"", "/dev/zero", "/dev/zero is not a regular file"},
		"a socket":     {"", socket.Addr().String(), "socket is not a regular file"},
		"too large":    {"", configtest.WriteFile(t, testSecret+strings.Repeat("x", 64<<10)), "is larger than 65536 bytes"},
		"with a mark":  {"", configtest.WriteFile(t, "\ufeff"+testSecret), "starts with a byte order mark"},
		"only a mark":  {"", configtest.WriteFile(t, "\ufeff\r\n"), "starts with a byte order mark"},
		"empty":        {"", configtest.WriteFile(t, ""), "is empty"},
		"a line break": {"", configtest.WriteFile(t, "\n"), "is empty"},
	} {
		configtest.SetOnly(t, configtest.WithEmulators(map[string]string{
			"ANTHROPIC_API_KEY": tc.value, "ANTHROPIC_API_KEY_FILE": tc.file, "AIRLOCK_EXECUTOR_SLOTS": "many",
		}))
		c, err := LoadExecutor()
		require.ErrorContains(t, err, tc.says, name)
		require.ErrorContains(t, err, "AIRLOCK_EXECUTOR_SLOTS", name)
		require.NotContains(t, err.Error(), testSecret, name)
		require.Empty(t, c.AnthropicAPIKey, name)
		_, err = LookupSecret("ANTHROPIC_API_KEY")
		require.ErrorContains(t, err, tc.says, name)
	}
}

// Every secret has both forms, and both are known to the check for misspelt names.
func TestEverySecretHasAFileForm(t *testing.T) {
	var names []string
	for _, config := range []reflect.Type{reflect.TypeFor[API](), reflect.TypeFor[Executor]()} {
		for _, v := range variables(config) {
			names = append(names, v.Name)
		}
	}
	for _, name := range names {
		words := strings.Split(name, "_")
		switch words[len(words)-1] {
		case "KEY", "PEPPER", "SECRET", "TOKEN", "PASSWORD", "HEADERS":
			require.Contains(t, names, name+SecretFileSuffix)
		}
	}
	require.Contains(t, names, "ANTHROPIC_API_KEY_FILE")
	require.Contains(t, names, "AIRLOCK_API_KEY_PEPPER_FILE")

	unknown, err := CheckNames([]string{"AIRLOCK_API_KEY_FILE=1", "AIRLOCK_OUR_OPENAI_KEY_FILE=1", "AIRLOCK_API_KEY_PEPPER_FILE=1"}, "AIRLOCK_OUR_OPENAI_KEY")
	require.NoError(t, err)
	require.Empty(t, unknown)
	for misspelt, meant := range map[string]string{
		"AIRLOCK_API_KEY_FIL": "AIRLOCK_API_KEY_FILE", "AIRLOCK_OUR_OPENAI_KEY_FILES": "AIRLOCK_OUR_OPENAI_KEY_FILE",
		"AIRLOCK_API_KEY_PEPER_FILE": "AIRLOCK_API_KEY_PEPPER_FILE",
	} {
		_, err = CheckNames([]string{misspelt + "=1"}, "AIRLOCK_OUR_OPENAI_KEY")
		require.EqualError(t, err, "unknown variable "+misspelt+": did you mean "+meant+"?")
	}
}
