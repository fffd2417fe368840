package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/config/configtest"
)

// load returns the configuration from the environment, for emulators on free ports with their data in dir.
func load(t *testing.T, dir string) Config {
	t.Helper()
	c, err := Load()
	require.NoError(t, err)
	c.API.ListenAddr, c.Emulators.PubSub, c.Emulators.Firestore = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.Emulators.Dir = dir
	return c
}

// runUntilStarted runs everything until it listens, then stops it.
func runUntilStarted(t *testing.T, c Config, log *zap.Logger) Started {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var started Started
	err := Run(ctx, c, log, func(s Started) {
		started = s
		stop()
	})
	if err != nil {
		require.ErrorIs(t, err, context.Canceled)
	}
	return started
}

func TestDefaultRuntime(t *testing.T) {
	for name, tc := range map[string]struct {
		vars    map[string]string
		runtime string
	}{
		"no key":        {nil, "offline"},
		"a key":         {map[string]string{"ANTHROPIC_API_KEY": "k"}, "claude"},
		"a choice":      {map[string]string{"ANTHROPIC_API_KEY": "k", "AIRLOCK_DEFAULT_RUNTIME": "offline"}, "offline"},
		"without cloud": {map[string]string{"GOOGLE_CLOUD_PROJECT": ""}, "offline"},
	} {
		t.Run(name, func(t *testing.T) {
			configtest.SetOnly(t, tc.vars)
			c := load(t, "")
			c.NoExecutor = true
			require.Equal(t, tc.runtime, runUntilStarted(t, c, zap.NewNop()).DefaultRuntime)
		})
	}
}

// Environments may reach the usual registries and hosts of repositories, or what the operator says.
func TestDefaultEgressHosts(t *testing.T) {
	configtest.SetOnly(t, nil)
	c := load(t, "")
	require.True(t, c.API.EgressHosts.Allows("registry.npmjs.org", 443))
	require.True(t, c.API.EgressHosts.Allows("gitlab.com", 443))
	require.False(t, c.API.EgressHosts.Allows("example.com", 443))
	require.Equal(t, c.API.EgressHosts, c.Executor.EgressHosts)
	configtest.SetOnly(t, map[string]string{"AIRLOCK_EGRESS_HOSTS": "example.com"})
	c = load(t, "")
	require.Equal(t, []string{"example.com"}, c.API.EgressHosts.Patterns())
	require.Equal(t, c.API.EgressHosts, c.Executor.EgressHosts)
}

// Mistakes are reported before anything runs, and what was opened is closed.
func TestInvalidConfigDoesNotStart(t *testing.T) {
	configtest.SetOnly(t, map[string]string{"AIRLOCK_TENANT_MAX_RUNNING": "-1", "AIRLOCK_WARMPOOL_SIZE": "2"})
	c := load(t, filepath.Join(t.TempDir(), "data"))
	c.API.ListenAddr, c.API.AuthMode, c.Executor.Slots = "0.0.0.0:0", config.AuthDev, -1
	for range 2 { // the second start cannot open the folder if the first one still holds it
		err := Run(t.Context(), c, zap.NewNop(), func(Started) { t.Error("started") })
		require.ErrorContains(t, err, "AIRLOCK_LISTEN_ADDR")
		require.ErrorContains(t, err, "AIRLOCK_EXECUTOR_SLOTS")
		require.ErrorContains(t, err, "did you mean AIRLOCK_WARM_POOL_SIZE?")
		require.Equal(t, 1, strings.Count(err.Error(), "AIRLOCK_TENANT_MAX_RUNNING"), "both parts read the variable: %v", err)
	}
}

func TestUnknownVariablesAreOneWarning(t *testing.T) {
	configtest.SetOnly(t, map[string]string{"AIRLOCK_BILLING": "x", "AIRLOCK_API_SERVICE_HOST": "10.0.0.1"})
	core, logged := observer.New(zapcore.WarnLevel)
	c := load(t, "")
	c.NoExecutor = true
	runUntilStarted(t, c, zap.New(core))
	entries := logged.FilterMessage("no program reads these variables").All()
	require.Len(t, entries, 1)
	require.Equal(t, []any{"AIRLOCK_API_SERVICE_HOST", "AIRLOCK_BILLING"}, entries[0].ContextMap()["variables"])
}

func TestJoinDistinct(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	wrapped := fmt.Errorf("both: %w, %w", a, b)
	require.NoError(t, joinDistinct(nil, errors.Join()))
	require.EqualError(t, joinDistinct(errors.Join(a, errors.Join(b)), nil, b, wrapped, a), "a\nb\nboth: a, b")
}

// An Airlock with its data in memory leaves no blobs behind.
func TestBlobLocation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	locate := func(c Config) (string, func() error) {
		location, remove, err := c.blobLocation()
		require.NoError(t, err)
		return location, remove
	}
	set, _ := locate(Config{BlobURL: "gs://b", Emulators: EmulatorOptions{Dir: dir}})
	require.Equal(t, "gs://b", set)
	beside, _ := locate(Config{Emulators: EmulatorOptions{Dir: dir}})
	require.Equal(t, "file://"+dir+"/blobs", beside)
	none, _ := locate(Config{NoAPI: true, NoExecutor: true})
	require.Empty(t, none)

	temporary, remove := locate(Config{})
	folder := strings.TrimPrefix(temporary, "file://")
	require.DirExists(t, folder)
	require.NoError(t, remove())
	require.NoDirExists(t, folder)
}

// On one machine, keys work without a setting. The pepper is the same after a restart.
func TestPepperIsCreatedOnce(t *testing.T) {
	c := Config{API: config.API{ListenAddr: "0.0.0.0:8000"}}
	c.Emulators.Dir = t.TempDir()
	require.NoError(t, c.ensurePepper())
	first, err := os.ReadFile(c.API.PepperFile)
	require.NoError(t, err)
	info, err := os.Stat(c.API.PepperFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = c.API.LoadPepper()
	require.NoError(t, err)

	c.API.PepperFile = ""
	require.NoError(t, c.ensurePepper())
	again, err := os.ReadFile(c.API.PepperFile)
	require.NoError(t, err)
	require.Equal(t, first, again)

	local := Config{API: config.API{ListenAddr: "127.0.0.1:8000"}}
	local.Emulators.Dir = t.TempDir()
	require.NoError(t, local.ensurePepper())
	require.Empty(t, local.API.PepperFile, "loopback needs none")
}

func TestDataFolderIsMarkedAndOpenedAgain(t *testing.T) {
	configtest.SetOnly(t, nil)
	dir := filepath.Join(t.TempDir(), "data")
	c := load(t, dir)
	c.NoExecutor = true
	for range 2 {
		require.NotEmpty(t, runUntilStarted(t, c, zap.NewNop()).API)
		text, err := os.ReadFile(filepath.Join(dir, "version"))
		require.NoError(t, err)
		require.Equal(t, dataVersion+"\n", string(text))
	}
	c.NoAPI = true // airlock emulators
	require.NotEmpty(t, runUntilStarted(t, c, zap.NewNop()).Firestore)
}

// A data folder of another version is refused, and stays as it is.
func TestDataFolderOfAnotherVersionIsRefused(t *testing.T) {
	configtest.SetOnly(t, nil)
	for name, tc := range map[string]struct{ file, text, says string }{
		"older than versions": {filepath.Join("firestore", "CURRENT"), "data", "has no version file"},
		"newer":               {"version", "99\n", "has version \"99\""},
		"damaged":             {"version", "", "has version "},
	} {
		for _, onlyEmulators := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, only emulators: %t", name, onlyEmulators), func(t *testing.T) {
				dir := t.TempDir()
				file := filepath.Join(dir, tc.file)
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
				require.NoError(t, os.WriteFile(file, []byte(tc.text), 0o600))
				c := load(t, dir)
				c.NoAPI, c.NoExecutor = onlyEmulators, onlyEmulators
				err := Run(t.Context(), c, zap.NewNop(), func(Started) { t.Error("started") })
				for _, says := range []string{dir, tc.says, "needs version " + dataVersion, "--data", "delete"} {
					require.ErrorContains(t, err, says)
				}
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Equal(t, tc.text, string(text))
				entries, err := os.ReadDir(dir)
				require.NoError(t, err)
				require.Len(t, entries, 1)
			})
		}
	}
}

// Only an empty folder becomes a data folder. Nothing tells the user to delete what is not Airlock's.
func TestFolderOfSomethingElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o700))
	require.NoError(t, checkDataVersion(dir), "a new file system")

	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600))
	err := checkDataVersion(dir)
	require.ErrorContains(t, err, dir+" is not empty")
	require.NotContains(t, err.Error(), "delete")
	require.NoFileExists(t, filepath.Join(dir, "version"))
}
