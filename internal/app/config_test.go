package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// environment leaves nothing of this machine's environment but what is given.
func setOnlyEnv(t *testing.T, vars map[string]string) {
	t.Helper()
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name != "PATH" && name != "HOME" && name != "TMPDIR" {
			t.Setenv(name, "") // has t put it back
			require.NoError(t, os.Unsetenv(name))
		}
	}
	for name, value := range vars {
		t.Setenv(name, value)
	}
}

// emulators are what every case needs that is not about them.
func withEmulatorHosts(extra map[string]string) map[string]string {
	vars := map[string]string{"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "PUBSUB_EMULATOR_HOST": "127.0.0.1:2"}
	for name, value := range extra {
		vars[name] = value
	}
	return vars
}

// cacheFolder is where blobs are when nothing says where, and nothing is in the cloud.
func defaultBlobURL(t *testing.T) string {
	dir, err := os.UserCacheDir()
	require.NoError(t, err)
	return "file://" + dir + "/airlock/blobs"
}

func TestAPIDefaults(t *testing.T) {
	setOnlyEnv(t, withEmulatorHosts(nil))
	c, err := LoadAPI()
	require.NoError(t, err)
	require.Equal(t, API{
		Cloud:      Cloud{Services: Services{Project: LocalProject, FirestoreHost: "127.0.0.1:1", PubSubHost: "127.0.0.1:2"}, BlobURL: defaultBlobURL(t)},
		ListenAddr: "127.0.0.1:8000", TenantLimits: TenantLimits{MaxQueued: 10_000}, BatchWindow: 200, QueueTimeout: 24 * time.Hour, DefaultRuntime: "offline",
		CORSAllowedOrigins: []string{"http://localhost:3000"}, ShutdownGracePeriod: 5 * time.Second,
		RequestLimits: RequestLimits{RateLimit: -1, AuthFailureLimit: 60, MaxConnections: 20000},
		Auth: Auth{OIDCProvider: OIDCProvider{
			Algorithms: []string{"RS256", "ES256"}, Header: "Authorization", TenantClaim: "sub", Leeway: time.Minute,
		}},
	}, c)
}

func TestExecutorDefaults(t *testing.T) {
	setOnlyEnv(t, withEmulatorHosts(nil))
	c, err := LoadExecutor()
	require.NoError(t, err)
	require.GreaterOrEqual(t, c.Slots, 2)
	require.Positive(t, c.ReservedSlots)
	require.Less(t, c.ReservedSlots, c.Slots, "batches have a slot as well")
	require.Equal(t, "runc", c.OCIRuntime)
	require.Equal(t, "https://api.anthropic.com", c.AnthropicBaseURL.String())
	require.Empty(t, c.AnthropicAPIKey)
	setOnlyEnv(t, withEmulatorHosts(nil))
	other, err := LoadExecutor()
	require.NoError(t, err)
	require.NotEqual(t, c.Name, other.Name, "no two executors have one name")
}

func TestVariablesAreRead(t *testing.T) {
	setOnlyEnv(t, map[string]string{
		"GOOGLE_CLOUD_PROJECT": "prod", "AIRLOCK_BLOB_URL": "gs://b", "AIRLOCK_LISTEN_ADDR": "[::1]:80", "AIRLOCK_DEFAULT_RUNTIME": "claude", "AIRLOCK_CORS_ORIGINS": "https://a,https://b", "AIRLOCK_SHUTDOWN_GRACE": "7s",
		"AIRLOCK_EXECUTOR_NAME": "x1", "AIRLOCK_EXECUTOR_SLOTS": "8", "AIRLOCK_EXECUTOR_RESERVED_SLOTS": "0", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "AIRLOCK_CLAUDE_MODELS": "m1,m2",
	})
	api, err := LoadAPI()
	require.NoError(t, err)
	require.Equal(t, Cloud{Services: Services{Project: "prod"}, BlobURL: "gs://b"}, api.Cloud)
	require.Equal(t, "[::1]:80", api.ListenAddr)
	require.Equal(t, "claude", api.DefaultRuntime)
	require.Equal(t, []string{"https://a", "https://b"}, api.CORSAllowedOrigins)
	require.Equal(t, 7*time.Second, api.ShutdownGracePeriod)
	x, err := LoadExecutor()
	require.NoError(t, err)
	require.Equal(t, "x1", x.Name)
	require.Equal(t, 8, x.Slots)
	require.Zero(t, x.ReservedSlots)
	require.Equal(t, "127.0.0.1:9", x.AnthropicBaseURL.Host)
	require.Equal(t, []string{"m1", "m2"}, x.ClaudeModels)
	require.Equal(t, 7*time.Second, x.ShutdownGracePeriod)
}

// Each mistake is named with its variable, and with what would be right.
func TestInvalidAPIConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		vars map[string]string
		says []string
	}{
		"nothing is set":     {nil, []string{"GOOGLE_CLOUD_PROJECT", "AIRLOCK_BLOB_URL"}},
		"half the emulators": {map[string]string{"PUBSUB_EMULATOR_HOST": "127.0.0.1:2"}, []string{"GOOGLE_CLOUD_PROJECT", "FIRESTORE_EMULATOR_HOST"}},
		"emulator's port":    {withEmulatorHosts(map[string]string{"FIRESTORE_EMULATOR_HOST": "localhost"}), []string{"FIRESTORE_EMULATOR_HOST must be host:port", `"localhost"`}},
		"no port":            {withEmulatorHosts(map[string]string{"AIRLOCK_LISTEN_ADDR": "8000"}), []string{"AIRLOCK_LISTEN_ADDR must be host:port"}},
		"every interface":    {withEmulatorHosts(map[string]string{"AIRLOCK_LISTEN_ADDR": ":8000"}), []string{"AIRLOCK_API_KEY_PEPPER", "openssl rand"}},
		"any address":        {withEmulatorHosts(map[string]string{"AIRLOCK_LISTEN_ADDR": "0.0.0.0:8000"}), []string{"AIRLOCK_API_KEY_PEPPER", "openssl rand"}},
		"a name":             {withEmulatorHosts(map[string]string{"AIRLOCK_LISTEN_ADDR": "example.com:8000"}), []string{"AIRLOCK_API_KEY_PEPPER", "openssl rand"}},
		"believing afar":     {withEmulatorHosts(map[string]string{"AIRLOCK_AUTH_MODE": "dev", "AIRLOCK_LISTEN_ADDR": "0.0.0.0:8000"}), []string{"AIRLOCK_LISTEN_ADDR", "loopback", "AIRLOCK_AUTH_MODE=keys"}},
		"short pepper":       {withEmulatorHosts(map[string]string{"AIRLOCK_AUTH_MODE": "keys", "AIRLOCK_API_KEY_PEPPER": "salt"}), []string{"AIRLOCK_API_KEY_PEPPER", "32 bytes"}},
		"two peppers":        {withEmulatorHosts(map[string]string{"AIRLOCK_AUTH_MODE": "keys", "AIRLOCK_API_KEY_PEPPER": "salt", "AIRLOCK_API_KEY_PEPPER_FILE": "/x"}), []string{"AIRLOCK_API_KEY_PEPPER", "both"}},
		"no pepper's file":   {withEmulatorHosts(map[string]string{"AIRLOCK_AUTH_MODE": "keys", "AIRLOCK_API_KEY_PEPPER_FILE": "/nowhere"}), []string{"AIRLOCK_API_KEY_PEPPER_FILE"}},
		"no provider":        {withEmulatorHosts(map[string]string{"AIRLOCK_AUTH_MODE": "oidc"}), []string{"AIRLOCK_OIDC_ISSUER", "AIRLOCK_OIDC_AUDIENCE"}},
		"odd provider": {
			withEmulatorHosts(map[string]string{"AIRLOCK_AUTH_MODE": "oidc", "AIRLOCK_OIDC_ISSUER": "http://example.com", "AIRLOCK_OIDC_AUDIENCE": "a", "AIRLOCK_OIDC_ALGORITHMS": "HS256,none", "AIRLOCK_OIDC_LEEWAY": "1h"}),
			[]string{"AIRLOCK_OIDC_ISSUER", "https", `"HS256"`, `"none"`, "AIRLOCK_OIDC_LEEWAY"},
		},
		"odd limits": {
			withEmulatorHosts(map[string]string{"AIRLOCK_AUTH_FAILURE_LIMIT": "-1", "AIRLOCK_MAX_CONNECTIONS": "0", "AIRLOCK_TRUSTED_PROXIES": "10.0.0.1", "AIRLOCK_PROMPT_RULES_FILE": "/nowhere.yaml"}),
			[]string{"AIRLOCK_AUTH_FAILURE_LIMIT", "AIRLOCK_MAX_CONNECTIONS", "AIRLOCK_TRUSTED_PROXIES", "AIRLOCK_PROMPT_RULES_FILE"},
		},
		"metrics' port":     {withEmulatorHosts(map[string]string{"AIRLOCK_METRICS_LISTEN_ADDR": "9090"}), []string{"AIRLOCK_METRICS_LISTEN_ADDR must be host:port", `"9090"`}},
		"another auth mode": {withEmulatorHosts(map[string]string{"AIRLOCK_AUTH_MODE": "none"}), []string{"AIRLOCK_AUTH_MODE", `"none"`}},
		"unknown runtime":   {withEmulatorHosts(map[string]string{"AIRLOCK_DEFAULT_RUNTIME": "perl"}), []string{"AIRLOCK_DEFAULT_RUNTIME", "offline", `"perl"`}},
		"odd grace":         {withEmulatorHosts(map[string]string{"AIRLOCK_SHUTDOWN_GRACE": "soon"}), []string{"Grace", "soon"}},
		"no runtimes' file": {withEmulatorHosts(map[string]string{"AIRLOCK_RUNTIMES_FILE": "/nowhere.yaml"}), []string{"AIRLOCK_RUNTIMES_FILE"}},
		"all at once": {
			map[string]string{"FIRESTORE_EMULATOR_HOST": "x", "PUBSUB_EMULATOR_HOST": "y", "AIRLOCK_LISTEN_ADDR": "z", "AIRLOCK_DEFAULT_RUNTIME": "perl", "AIRLOCK_SHUTDOWN_GRACE": "soon"},
			[]string{"FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "AIRLOCK_LISTEN_ADDR", "AIRLOCK_DEFAULT_RUNTIME", "Grace"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			setOnlyEnv(t, tc.vars)
			_, err := LoadAPI()
			require.Error(t, err)
			for _, says := range tc.says {
				require.ErrorContains(t, err, says)
			}
		})
	}
}

func TestInvalidExecutorConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		vars map[string]string
		says []string
	}{
		"nothing is set":      {nil, []string{"GOOGLE_CLOUD_PROJECT"}},
		"metrics' port":       {withEmulatorHosts(map[string]string{"AIRLOCK_METRICS_LISTEN_ADDR": "9090"}), []string{"AIRLOCK_METRICS_LISTEN_ADDR must be host:port"}},
		"negative slots":      {withEmulatorHosts(map[string]string{"AIRLOCK_EXECUTOR_SLOTS": "-1"}), []string{"AIRLOCK_EXECUTOR_SLOTS", "-1"}},
		"slots in words":      {withEmulatorHosts(map[string]string{"AIRLOCK_EXECUTOR_SLOTS": "many"}), []string{"Slots", "many"}},
		"all slots reserved":  {withEmulatorHosts(map[string]string{"AIRLOCK_EXECUTOR_SLOTS": "2", "AIRLOCK_EXECUTOR_RESERVED_SLOTS": "2"}), []string{"AIRLOCK_EXECUTOR_RESERVED_SLOTS"}},
		"negative warm":       {withEmulatorHosts(map[string]string{"AIRLOCK_WARM_POOL_SIZE": "-1"}), []string{"AIRLOCK_WARM_POOL_SIZE"}},
		"negative budget":     {withEmulatorHosts(map[string]string{"AIRLOCK_MAX_TOKENS": "-1"}), []string{"AIRLOCK_MAX_TOKENS"}},
		"budget is no number": {withEmulatorHosts(map[string]string{"AIRLOCK_MAX_COST_USD": "NaN"}), []string{"AIRLOCK_MAX_COST_USD"}},
		"URL":                 {withEmulatorHosts(map[string]string{"ANTHROPIC_BASE_URL": "http://[::1"}), []string{"AnthropicURL"}},
		"all at once": {
			map[string]string{"PUBSUB_EMULATOR_HOST": "y", "AIRLOCK_EXECUTOR_SLOTS": "-1", "AIRLOCK_WARM_POOL_SIZE": "-1", "AIRLOCK_MAX_TOKENS": "-1", "AIRLOCK_SHUTDOWN_GRACE": "soon", "AIRLOCK_RUNTIMES_FILE": "/nowhere.yaml"},
			[]string{"GOOGLE_CLOUD_PROJECT", "PUBSUB_EMULATOR_HOST", "AIRLOCK_EXECUTOR_SLOTS", "AIRLOCK_WARM_POOL_SIZE", "AIRLOCK_MAX_TOKENS", "Grace", "AIRLOCK_RUNTIMES_FILE"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			setOnlyEnv(t, tc.vars)
			_, err := LoadExecutor()
			require.Error(t, err)
			for _, says := range tc.says {
				require.ErrorContains(t, err, says)
			}
		})
	}
}

// An operator who drives again, or issues keys, need not say where blobs are.
func TestOperatorCommandsNeedNoBlobURL(t *testing.T) {
	setOnlyEnv(t, map[string]string{"GOOGLE_CLOUD_PROJECT": "prod", "AIRLOCK_API_KEY_PEPPER": testPepper.Pepper})
	r, err := LoadRedrive()
	require.NoError(t, err)
	require.Equal(t, Services{Project: "prod"}, r.Services)
	i, err := LoadKeyIssuer()
	require.NoError(t, err)
	require.Equal(t, Services{Project: "prod"}, i.Services)

	setOnlyEnv(t, nil)
	_, err = LoadRedrive()
	require.ErrorContains(t, err, "GOOGLE_CLOUD_PROJECT")
}

// A mistake elsewhere does not bring the key to light.
func TestConfigErrorsOmitAPIKey(t *testing.T) {
	setOnlyEnv(t, map[string]string{"ANTHROPIC_API_KEY": "sk-secret", "AIRLOCK_EXECUTOR_SLOTS": "many", "AIRLOCK_SHUTDOWN_GRACE": "soon"})
	_, err := LoadExecutor()
	require.Error(t, err)
	require.NotContains(t, err.Error(), "sk-secret")
}

func TestDevDefaultRuntime(t *testing.T) {
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
			setOnlyEnv(t, tc.vars)
			d, err := LoadDev()
			require.NoError(t, err)
			require.Equal(t, tc.runtime, d.API.DefaultRuntime)
		})
	}
}

// What is wrong is said before anything runs, and what was opened is closed.
func TestDevInvalidConfigDoesNotStart(t *testing.T) {
	setOnlyEnv(t, nil)
	d, err := LoadDev()
	require.NoError(t, err)
	d.API.ListenAddr, d.API.AuthMode, d.Executor.Slots = "0.0.0.0:0", AuthDev, -1
	d.Emulators.PubSub, d.Emulators.Firestore = "127.0.0.1:0", "127.0.0.1:0"
	d.Emulators.Dir = filepath.Join(t.TempDir(), "data")
	for range 2 { // the second could not open a folder that the first holds
		err = RunDev(t.Context(), d, zap.NewNop(), func(Addresses) { t.Error("started") })
		require.ErrorContains(t, err, "AIRLOCK_LISTEN_ADDR")
		require.ErrorContains(t, err, "AIRLOCK_EXECUTOR_SLOTS")
	}
}
