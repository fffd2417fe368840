package config

import (
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/app/config/configtest"
)

// defaultBlobURL is where blobs are if no variable says so and nothing is in the cloud.
func defaultBlobURL(t *testing.T) string {
	dir, err := os.UserCacheDir()
	require.NoError(t, err)
	return "file://" + dir + "/airlock/blobs"
}

func TestAPIDefaults(t *testing.T) {
	configtest.SetOnly(t, configtest.WithEmulators(nil))
	c, err := LoadAPI()
	require.NoError(t, err)
	require.NoError(t, c.Validate())
	require.Equal(t, API{
		Common: Common{
			Cloud: Cloud{
				Services: Services{Project: LocalProject, FirestoreHost: "127.0.0.1:1", PubSubHost: "127.0.0.1:2"},
				BlobURL:  defaultBlobURL(t), PubSubManage: true,
			},
			TenantLimits: TenantLimits{MaxQueued: 10_000, DailySoftLimit: 0.8},
		},
		ListenAddr: "127.0.0.1:8000", QueueTimeout: 24 * time.Hour,
		CORSAllowedOrigins: []string{"http://localhost:3000"}, ShutdownGracePeriod: 5 * time.Second,
		RequestLimits: RequestLimits{RateLimit: -1, AuthFailureLimit: 60, MaxConnections: 20000},
		FileLimits:    FileLimits{FileRetention: 720 * time.Hour, MaxFiles: 10_000, MaxFilesMiB: 10 << 10},
		Auth: Auth{OIDCProvider: OIDCProvider{
			Algorithms: []string{"RS256", "ES256"}, Header: "Authorization", TenantClaim: "sub", Leeway: time.Minute,
		}},
	}, c)
}

func TestExecutorDefaults(t *testing.T) {
	configtest.SetOnly(t, configtest.WithEmulators(nil))
	c, err := LoadExecutor()
	require.NoError(t, err)
	require.NoError(t, c.Validate())
	require.GreaterOrEqual(t, c.Slots, 2)
	require.Positive(t, c.ReservedSlots)
	require.Less(t, c.ReservedSlots, c.Slots, "batches have a slot as well")
	require.Equal(t, "runc", c.OCIRuntime)
	require.Equal(t, "https://api.anthropic.com", c.AnthropicBaseURL.String())
	require.Empty(t, c.AnthropicAPIKey)
	other, err := LoadExecutor()
	require.NoError(t, err)
	require.NotEqual(t, c.Name, other.Name, "the names of executors are unique")
}

func TestVariablesAreRead(t *testing.T) {
	configtest.SetOnly(t, map[string]string{
		"GOOGLE_CLOUD_PROJECT": "prod", "AIRLOCK_BLOB_URL": "gs://b", "AIRLOCK_LISTEN_ADDR": "[::1]:80",
		"AIRLOCK_DEFAULT_RUNTIME": "claude", "AIRLOCK_CORS_ORIGINS": "https://a,https://b", "AIRLOCK_SHUTDOWN_GRACE": "7s",
		"AIRLOCK_TRUSTED_PROXIES": "10.0.0.0/8,fd00::/8",
		"AIRLOCK_EXECUTOR_NAME":   "x1", "AIRLOCK_EXECUTOR_SLOTS": "8", "AIRLOCK_EXECUTOR_RESERVED_SLOTS": "0",
		"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "AIRLOCK_CLAUDE_MODELS": "m1,m2",
		"AIRLOCK_MAX_TOKENS": "1000", "AIRLOCK_MAX_COST_USD": "0.25", "AIRLOCK_MODEL_MAX_WAIT": "20m",
	})
	api, err := LoadAPI()
	require.NoError(t, err)
	require.NoError(t, api.Validate())
	require.Equal(t, Cloud{Services: Services{Project: "prod"}, BlobURL: "gs://b", PubSubManage: true}, api.Cloud)
	require.Equal(t, "[::1]:80", api.ListenAddr)
	require.Equal(t, "claude", api.DefaultRuntime)
	require.Equal(t, []string{"https://a", "https://b"}, api.CORSAllowedOrigins)
	require.Equal(t, 7*time.Second, api.ShutdownGracePeriod)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, api.TrustedProxies)
	x, err := LoadExecutor()
	require.NoError(t, err)
	require.NoError(t, x.Validate())
	require.Equal(t, "x1", x.Name)
	require.Equal(t, 8, x.Slots)
	require.Zero(t, x.ReservedSlots)
	require.Equal(t, "127.0.0.1:9", x.AnthropicBaseURL.Host)
	require.Equal(t, []string{"m1", "m2"}, x.ClaudeModels)
	require.Equal(t, 7*time.Second, x.ShutdownGracePeriod)
	require.Equal(t, int64(1000), x.MaxTokens)
	require.InDelta(t, 0.25, x.MaxCostUSD, 1e-9)
	require.Equal(t, 20*time.Minute, x.ModelMaxWait)
}

// Cloud Run sets PORT. AIRLOCK_LISTEN_ADDR goes first.
func TestPortOfCloudRun(t *testing.T) {
	for name, tc := range map[string]struct {
		vars map[string]string
		addr string
	}{
		"neither":      {nil, "127.0.0.1:8000"},
		"port":         {map[string]string{"PORT": "8080"}, "0.0.0.0:8080"},
		"both":         {map[string]string{"PORT": "8080", "AIRLOCK_LISTEN_ADDR": "127.0.0.1:9000"}, "127.0.0.1:9000"},
		"empty listen": {map[string]string{"PORT": "8080", "AIRLOCK_LISTEN_ADDR": ""}, "0.0.0.0:8080"},
	} {
		t.Run(name, func(t *testing.T) {
			configtest.SetOnly(t, configtest.WithEmulators(tc.vars))
			c, err := LoadAPI()
			require.NoError(t, err)
			require.Equal(t, tc.addr, c.ListenAddr)
		})
	}
	configtest.SetOnly(t, configtest.WithEmulators(map[string]string{"PORT": "http"}))
	_, err := LoadAPI()
	require.EqualError(t, err, `PORT must be a number up to 65535, not "http"`)
	configtest.SetOnly(t, configtest.WithEmulators(map[string]string{"PORT": "8080"}))
	c, err := LoadAPI()
	require.NoError(t, err)
	require.Equal(t, AuthKeys, c.EffectiveAuthMode(), "other machines reach it")
}

// Each mistake is reported with the name of its variable and with what would be correct.
func TestInvalidAPIConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		vars map[string]string
		says []string
	}{
		"nothing is set":     {nil, []string{"GOOGLE_CLOUD_PROJECT", "AIRLOCK_BLOB_URL"}},
		"half the emulators": {map[string]string{"PUBSUB_EMULATOR_HOST": "127.0.0.1:2"}, []string{"GOOGLE_CLOUD_PROJECT", "FIRESTORE_EMULATOR_HOST"}},
		"emulator's port":    {configtest.WithEmulators(map[string]string{"FIRESTORE_EMULATOR_HOST": "localhost"}), []string{"FIRESTORE_EMULATOR_HOST must be host:port", `"localhost"`}},
		"no port":            {configtest.WithEmulators(map[string]string{"AIRLOCK_LISTEN_ADDR": "8000"}), []string{"AIRLOCK_LISTEN_ADDR must be host:port"}},
		"dev on all addresses": {
			configtest.WithEmulators(map[string]string{"AIRLOCK_AUTH_MODE": "dev", "AIRLOCK_LISTEN_ADDR": "0.0.0.0:8000"}),
			[]string{"AIRLOCK_LISTEN_ADDR", "loopback", "AIRLOCK_AUTH_MODE=keys"},
		},
		"no provider": {configtest.WithEmulators(map[string]string{"AIRLOCK_AUTH_MODE": "oidc"}), []string{"AIRLOCK_OIDC_ISSUER", "AIRLOCK_OIDC_AUDIENCE"}},
		"wrong provider": {
			configtest.WithEmulators(map[string]string{"AIRLOCK_AUTH_MODE": "oidc", "AIRLOCK_OIDC_ISSUER": "http://example.com", "AIRLOCK_OIDC_AUDIENCE": "a", "AIRLOCK_OIDC_ALGORITHMS": "HS256,none", "AIRLOCK_OIDC_LEEWAY": "1h", "AIRLOCK_OIDC_OPERATOR_CLAIM": "groups"}),
			[]string{"AIRLOCK_OIDC_ISSUER", "https", `"HS256"`, `"none"`, "AIRLOCK_OIDC_LEEWAY"},
		},
		"wrong limits": {
			configtest.WithEmulators(map[string]string{"AIRLOCK_AUTH_FAILURE_LIMIT": "-1", "AIRLOCK_MAX_CONNECTIONS": "0", "AIRLOCK_TRUSTED_PROXIES": "10.0.0.1"}),
			[]string{"AIRLOCK_AUTH_FAILURE_LIMIT", "AIRLOCK_MAX_CONNECTIONS", "AIRLOCK_TRUSTED_PROXIES", `"10.0.0.1"`},
		},
		"metrics' port": {configtest.WithEmulators(map[string]string{"AIRLOCK_METRICS_LISTEN_ADDR": "9090"}), []string{"AIRLOCK_METRICS_LISTEN_ADDR must be host:port", `"9090"`}},
		"egress hosts": {
			configtest.WithEmulators(map[string]string{"AIRLOCK_EGRESS_HOSTS": "pypi.org,*.com,10.0.0.1"}),
			[]string{"AIRLOCK_EGRESS_HOSTS", `"*.com" must have at least two labels`, `"10.0.0.1" must be a name, not an IP address`},
		},
		"another auth mode": {configtest.WithEmulators(map[string]string{"AIRLOCK_AUTH_MODE": "none"}), []string{"AIRLOCK_AUTH_MODE", `"none"`}},
		"grace in words":    {configtest.WithEmulators(map[string]string{"AIRLOCK_SHUTDOWN_GRACE": "soon"}), []string{"AIRLOCK_SHUTDOWN_GRACE", "soon"}},
		"all at once": {
			map[string]string{"FIRESTORE_EMULATOR_HOST": "x", "PUBSUB_EMULATOR_HOST": "y", "AIRLOCK_LISTEN_ADDR": "z", "AIRLOCK_SHUTDOWN_GRACE": "soon"},
			[]string{"FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "AIRLOCK_LISTEN_ADDR", "AIRLOCK_SHUTDOWN_GRACE"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			configtest.SetOnly(t, tc.vars)
			c, err := LoadAPI()
			requireMistakes(t, tc.says, err, c.Validate())
		})
	}
}

func TestInvalidExecutorConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		vars map[string]string
		says []string
	}{
		"nothing is set":      {nil, []string{"GOOGLE_CLOUD_PROJECT"}},
		"metrics' port":       {configtest.WithEmulators(map[string]string{"AIRLOCK_METRICS_LISTEN_ADDR": "9090"}), []string{"AIRLOCK_METRICS_LISTEN_ADDR must be host:port"}},
		"negative slots":      {configtest.WithEmulators(map[string]string{"AIRLOCK_EXECUTOR_SLOTS": "-1"}), []string{"AIRLOCK_EXECUTOR_SLOTS", "-1"}},
		"slots in words":      {configtest.WithEmulators(map[string]string{"AIRLOCK_EXECUTOR_SLOTS": "many"}), []string{"AIRLOCK_EXECUTOR_SLOTS", "many"}},
		"all slots reserved":  {configtest.WithEmulators(map[string]string{"AIRLOCK_EXECUTOR_SLOTS": "2", "AIRLOCK_EXECUTOR_RESERVED_SLOTS": "2"}), []string{"AIRLOCK_EXECUTOR_RESERVED_SLOTS"}},
		"negative warm":       {configtest.WithEmulators(map[string]string{"AIRLOCK_WARM_POOL_SIZE": "-1"}), []string{"AIRLOCK_WARM_POOL_SIZE"}},
		"negative budget":     {configtest.WithEmulators(map[string]string{"AIRLOCK_MAX_TOKENS": "-1"}), []string{"AIRLOCK_MAX_TOKENS"}},
		"budget is no number": {configtest.WithEmulators(map[string]string{"AIRLOCK_MAX_COST_USD": "NaN"}), []string{"AIRLOCK_MAX_COST_USD"}},
		"endless wait":        {configtest.WithEmulators(map[string]string{"AIRLOCK_MODEL_MAX_WAIT": "31m"}), []string{"AIRLOCK_MODEL_MAX_WAIT", "30m"}},
		"budget too small":    {configtest.WithEmulators(map[string]string{"AIRLOCK_MAX_COST_USD": "1e-12"}), []string{"AIRLOCK_MAX_COST_USD", "0.000001"}},
		"budget too large":    {configtest.WithEmulators(map[string]string{"AIRLOCK_TENANT_MAX_DAILY_USD": "1e308"}), []string{"AIRLOCK_TENANT_MAX_DAILY_USD", "1000000000"}},
		"short retention":     {configtest.WithEmulators(map[string]string{"AIRLOCK_RETENTION": "1m"}), []string{"AIRLOCK_RETENTION", "1h"}},
		"negative transcript": {configtest.WithEmulators(map[string]string{"AIRLOCK_TRANSCRIPT_RETENTION": "-1s"}), []string{"AIRLOCK_TRANSCRIPT_RETENTION", "-1s"}},
		"endless transcript":  {configtest.WithEmulators(map[string]string{"AIRLOCK_TRANSCRIPT_RETENTION": "87601h"}), []string{"AIRLOCK_TRANSCRIPT_RETENTION", "87600h"}},
		"transcript in days":  {configtest.WithEmulators(map[string]string{"AIRLOCK_TRANSCRIPT_RETENTION": "3d"}), []string{"AIRLOCK_TRANSCRIPT_RETENTION", "3d"}},
		"URL":                 {configtest.WithEmulators(map[string]string{"ANTHROPIC_BASE_URL": "http://[::1"}), []string{"ANTHROPIC_BASE_URL"}},
		"negative limit":      {configtest.WithEmulators(map[string]string{"AIRLOCK_TENANT_MAX_RUNNING": "-1"}), []string{"AIRLOCK_TENANT_MAX_RUNNING"}},
		"all at once": {
			map[string]string{"PUBSUB_EMULATOR_HOST": "y", "AIRLOCK_EXECUTOR_SLOTS": "-1", "AIRLOCK_WARM_POOL_SIZE": "-1", "AIRLOCK_MAX_TOKENS": "-1", "AIRLOCK_SHUTDOWN_GRACE": "soon"},
			[]string{"GOOGLE_CLOUD_PROJECT", "PUBSUB_EMULATOR_HOST", "AIRLOCK_EXECUTOR_SLOTS", "AIRLOCK_WARM_POOL_SIZE", "AIRLOCK_MAX_TOKENS", "AIRLOCK_SHUTDOWN_GRACE"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			configtest.SetOnly(t, tc.vars)
			c, err := LoadExecutor()
			requireMistakes(t, tc.says, err, c.Validate())
		})
	}
}

// Nothing set, and a set 0, are two things.
// The API and the executors read the same list. None is set by default.
func TestEgressHosts(t *testing.T) {
	for text, want := range map[string][]string{
		"": {}, "*": {"*"}, "PyPI.org, *.example.org:8443,": {"pypi.org", "*.example.org:8443"},
	} {
		configtest.SetOnly(t, configtest.WithEmulators(map[string]string{"AIRLOCK_EGRESS_HOSTS": text}))
		api, err := LoadAPI()
		require.NoError(t, err)
		require.Equal(t, want, api.EgressHosts.Patterns())
		configtest.SetOnly(t, configtest.WithEmulators(map[string]string{"AIRLOCK_EGRESS_HOSTS": text}))
		x, err := LoadExecutor()
		require.NoError(t, err)
		require.Equal(t, api.EgressHosts, x.EgressHosts)
	}
}

func TestTranscriptRetention(t *testing.T) {
	load := func(vars map[string]string) *time.Duration {
		configtest.SetOnly(t, configtest.WithEmulators(vars))
		c, err := LoadExecutor()
		require.NoError(t, err)
		require.NoError(t, c.Validate())
		return c.TenantLimits.Defaults().TranscriptRetention
	}
	require.Nil(t, load(nil))
	require.Nil(t, load(map[string]string{"AIRLOCK_TRANSCRIPT_RETENTION": ""}))
	require.Equal(t, new(time.Duration), load(map[string]string{"AIRLOCK_TRANSCRIPT_RETENTION": "0"}))
	require.Equal(t, new(72*time.Hour), load(map[string]string{"AIRLOCK_TRANSCRIPT_RETENTION": "72h"}))
}

func requireMistakes(t *testing.T, says []string, errs ...error) {
	t.Helper()
	var texts []string
	for _, err := range errs {
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	text := strings.Join(texts, "\n")
	for _, s := range says {
		require.Contains(t, text, s)
	}
}

// The errors of the parser name Go's fields; two fields of one name would be confused.
func TestFieldNamesAreUnique(t *testing.T) {
	for _, config := range []reflect.Type{reflect.TypeFor[API](), reflect.TypeFor[Executor]()} {
		fields := map[string]string{}
		for _, v := range variables(config) {
			require.NotContains(t, fields, v.Field, v.Name)
			fields[v.Field] = v.Name
		}
	}
}

func TestMistakesAreReportedInFixedOrder(t *testing.T) {
	var first string
	for range 20 {
		configtest.SetOnly(t, map[string]string{
			"FIRESTORE_EMULATOR_HOST": "x", "PUBSUB_EMULATOR_HOST": "y", "AIRLOCK_AUTH_MODE": "oidc", "AIRLOCK_OIDC_ISSUER": "a", "AIRLOCK_OIDC_JWKS_URL": "b",
		})
		c, err := LoadAPI()
		require.NoError(t, err)
		text := c.Validate().Error()
		if first == "" {
			first = text
		}
		require.Equal(t, first, text)
	}
}

// An error about another variable does not reveal a key.
func TestConfigErrorsOmitAPIKey(t *testing.T) {
	configtest.SetOnly(t, map[string]string{"ANTHROPIC_API_KEY": "sk-secret", "AIRLOCK_EXECUTOR_SLOTS": "many", "AIRLOCK_SHUTDOWN_GRACE": "soon"})
	c, err := LoadExecutor()
	require.Error(t, err)
	require.NotContains(t, err.Error(), "sk-secret")
	require.NotContains(t, c.Validate().Error(), "sk-secret")
}

func TestLoadPepper(t *testing.T) {
	for name, tc := range map[string]struct {
		source PepperSource
		says   []string
	}{
		"nothing":       {PepperSource{}, []string{"AIRLOCK_API_KEY_PEPPER", "openssl rand"}},
		"too short":     {PepperSource{Pepper: "salt"}, []string{"AIRLOCK_API_KEY_PEPPER", "32 bytes"}},
		"text and file": {PepperSource{Pepper: "salt", PepperFile: "/x"}, []string{"AIRLOCK_API_KEY_PEPPER", "both"}},
		"no such file":  {PepperSource{PepperFile: "/nowhere"}, []string{"AIRLOCK_API_KEY_PEPPER_FILE"}},
	} {
		_, err := tc.source.LoadPepper()
		for _, says := range tc.says {
			require.ErrorContains(t, err, says, name)
		}
	}
	text := strings.Repeat("pepper", 6)
	fromText, err := (&PepperSource{Pepper: text}).LoadPepper()
	require.NoError(t, err)
	fromFile, err := (&PepperSource{PepperFile: configtest.WriteFile(t, text+"\r\n")}).LoadPepper()
	require.NoError(t, err)
	require.Equal(t, fromText, fromFile)
}

func TestLoadOperatorKey(t *testing.T) {
	none, err := new(OperatorKeySource).LoadOperatorKey()
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = (&OperatorKeySource{OperatorKey: "k", OperatorKeyFile: "/x"}).LoadOperatorKey()
	require.ErrorContains(t, err, "AIRLOCK_OPERATOR_KEY and AIRLOCK_OPERATOR_KEY_FILE are both set")
	key, err := (&OperatorKeySource{OperatorKeyFile: configtest.WriteFile(t, "secret\n")}).LoadOperatorKey()
	require.NoError(t, err)
	require.Equal(t, "secret", key)
}

// Without AIRLOCK_AUTH_MODE, callers are authenticated by keys as soon as other machines can reach the API.
func TestDefaultAuthMode(t *testing.T) {
	for addr, mode := range map[string]string{
		"127.0.0.1:8000": AuthDev, "[::1]:8000": AuthDev, "localhost:8000": AuthDev,
		":8000": AuthKeys, "0.0.0.0:8000": AuthKeys, "example.com:8000": AuthKeys,
	} {
		c := API{ListenAddr: addr}
		require.Equal(t, mode, c.EffectiveAuthMode(), addr)
	}
}

// The address that the name resolved to decides.
func TestDevAuthRequiresLoopbackAddr(t *testing.T) {
	for address, allowed := range map[string]bool{"127.0.0.1": true, "::1": true, "192.0.2.1": false, "::": false} {
		c := API{ListenAddr: "localhost:8000"}
		err := c.CheckBoundAddr(&net.TCPAddr{IP: net.ParseIP(address)})
		require.Equal(t, allowed, err == nil, address)
	}
}

func TestDefaultRateLimit(t *testing.T) {
	require.EqualValues(t, 0, (&API{ListenAddr: "127.0.0.1:1", RequestLimits: RequestLimits{RateLimit: -1}}).EffectiveRateLimit(), "dev")
	require.EqualValues(t, 100, (&API{ListenAddr: "0.0.0.0:1", RequestLimits: RequestLimits{RateLimit: -1}}).EffectiveRateLimit(), "keys")
	require.EqualValues(t, 7, (&API{ListenAddr: "0.0.0.0:1", RequestLimits: RequestLimits{RateLimit: 7}}).EffectiveRateLimit())
}
