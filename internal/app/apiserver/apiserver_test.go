package apiserver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/api"
	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/config/configtest"
	"github.com/airlock-run/airlock/internal/app/operator"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
)

var testPepper = strings.Repeat("pepper", 6)

func TestLoadWithDefaults(t *testing.T) {
	configtest.SetOnly(t, configtest.WithEmulators(map[string]string{"AIRLOCK_BILLING": "x"}))
	s, err := Load()
	require.NoError(t, err)
	require.Equal(t, "offline", s.DefaultRuntime)
	require.Equal(t, []string{"offline", "claude"}, s.runtimes)
	require.Equal(t, []string{"AIRLOCK_BILLING"}, s.UnknownVariables)
}

func TestLoadReportsEveryMistake(t *testing.T) {
	badRuntimes := configtest.WriteFile(t, "runtimes:\n- name: A B\n  contract: x\n")
	for name, tc := range map[string]struct {
		vars map[string]string
		says []string
	}{
		"every interface": {map[string]string{"AIRLOCK_LISTEN_ADDR": ":8000"}, []string{"AIRLOCK_API_KEY_PEPPER", "openssl rand"}},
		"any address":     {map[string]string{"AIRLOCK_LISTEN_ADDR": "0.0.0.0:8000"}, []string{"AIRLOCK_API_KEY_PEPPER", "openssl rand"}},
		"a name":          {map[string]string{"AIRLOCK_LISTEN_ADDR": "example.com:8000"}, []string{"AIRLOCK_API_KEY_PEPPER", "openssl rand"}},
		"short pepper":    {map[string]string{"AIRLOCK_AUTH_MODE": "keys", "AIRLOCK_API_KEY_PEPPER": "salt"}, []string{"AIRLOCK_API_KEY_PEPPER", "32 bytes"}},
		"operator key":    {map[string]string{"AIRLOCK_OPERATOR_KEY": "short-secret"}, []string{"AIRLOCK_OPERATOR_KEY", "at least 32", "openssl rand"}},
		"no operator key": {map[string]string{"AIRLOCK_OPERATOR_KEY_FILE": "/nowhere"}, []string{"AIRLOCK_OPERATOR_KEY_FILE"}},
		"no rules file":   {map[string]string{"AIRLOCK_PROMPT_RULES_FILE": "/nowhere.yaml"}, []string{"AIRLOCK_PROMPT_RULES_FILE"}},
		"unknown runtime": {map[string]string{"AIRLOCK_DEFAULT_RUNTIME": "perl"}, []string{"AIRLOCK_DEFAULT_RUNTIME must be one of [offline claude]", `"perl"`}},
		"no runtimes":     {map[string]string{"AIRLOCK_RUNTIMES_FILE": "/nowhere.yaml"}, []string{"AIRLOCK_RUNTIMES_FILE"}},
		"wrong runtimes":  {map[string]string{"AIRLOCK_RUNTIMES_FILE": badRuntimes}, []string{"AIRLOCK_RUNTIMES_FILE", badRuntimes, "line 2: name", "line 3: contract"}},
		"misspelt":        {map[string]string{"AIRLOCK_LISTEN_ADR": "x"}, []string{"AIRLOCK_LISTEN_ADR", "did you mean AIRLOCK_LISTEN_ADDR?"}},
		"all at once": {
			map[string]string{
				"AIRLOCK_LISTEN_ADDR": "0.0.0.0:1", "AIRLOCK_SHUTDOWN_GRACE": "soon", "AIRLOCK_WARMPOOL_SIZE": "1",
				"AIRLOCK_PROMPT_RULES_FILE": "/nowhere.yaml", "AIRLOCK_RUNTIMES_FILE": "/nowhere.yaml", "FIRESTORE_EMULATOR_HOST": "x",
			},
			[]string{
				"AIRLOCK_SHUTDOWN_GRACE", "AIRLOCK_WARM_POOL_SIZE", "AIRLOCK_RUNTIMES_FILE", "FIRESTORE_EMULATOR_HOST",
				"AIRLOCK_API_KEY_PEPPER", "AIRLOCK_PROMPT_RULES_FILE",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			configtest.SetOnly(t, configtest.WithEmulators(tc.vars))
			_, err := Load()
			require.Error(t, err)
			require.NotContains(t, err.Error(), "short-secret")
			for _, says := range tc.says {
				require.ErrorContains(t, err, says)
			}
		})
	}
}

func TestDefaultRuntimeIsFirstOfFile(t *testing.T) {
	file := configtest.WriteFile(t, "runtimes:\n- name: mine\n  image: i\n  contract: command\n  argv: [x]\n")
	configtest.SetOnly(t, configtest.WithEmulators(map[string]string{"AIRLOCK_RUNTIMES_FILE": file}))
	s, err := Load()
	require.NoError(t, err)
	require.Equal(t, "mine", s.DefaultRuntime)
	configtest.SetOnly(t, configtest.WithEmulators(map[string]string{"AIRLOCK_RUNTIMES_FILE": file, "AIRLOCK_DEFAULT_RUNTIME": "claude"}))
	_, err = Load()
	require.ErrorContains(t, err, "AIRLOCK_DEFAULT_RUNTIME must be one of [mine]")
}

// An API accepts the operator's keys if it has the same pepper, and only then.
func TestIssuedKeyAuthenticatesWithSamePepper(t *testing.T) {
	f := strict.StartFirestore(t, firestoreemulator.Options{})
	issuer, err := operator.NewKeyIssuer(
		config.Services{Project: emulatortest.Project, FirestoreHost: f.Address()}, config.PepperSource{Pepper: testPepper})
	require.NoError(t, err)
	k, secret, err := issuer.Issue(t.Context(), operator.KeyRequest{Tenant: "ada", Name: "first", Scopes: tenant.AllScopes, Lifetime: time.Hour})
	require.NoError(t, err)
	require.Equal(t, time.Hour, k.ExpiresAt.Sub(k.CreatedAt))

	for pepper, accepted := range map[string]bool{testPepper: true, strings.Repeat("other", 8): false} {
		s := prepare(t, config.API{ListenAddr: "0.0.0.0:8000", Auth: config.Auth{PepperSource: config.PepperSource{Pepper: pepper}}})
		authenticator, err := newAuthenticator(t.Context(), s, store.New(f.Client), zap.NewNop())
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+secret.Reveal())
		found, err := authenticator.Authenticate(req)
		if !accepted {
			require.ErrorAs(t, err, new(*auth.UnauthenticatedError))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tenant.Caller{Tenant: "ada", Subject: k.ID, Scopes: tenant.AllScopes}, found)
	}
}

// The operator's key identifies the operator in every mode; only its hash stays in memory. With a key, a server without
// authentication believes nobody who says that it is the operator.
func TestOperatorKeyInEveryMode(t *testing.T) {
	secret := strings.Repeat("op", 16)
	for _, mode := range []string{config.AuthDev, config.AuthKeys, config.AuthOIDC} {
		c := config.API{Auth: config.Auth{AuthMode: mode, OperatorKeySource: config.OperatorKeySource{OperatorKey: secret}}}
		s := prepare(t, c)
		require.NotContains(t, fmt.Sprintf("%+v", s), secret)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		require.NoError(t, err)
		require.False(t, s.operatorKey.Matches(req))
		req.Header.Set("Authorization", "Bearer "+secret)
		require.True(t, s.operatorKey.Matches(req), mode)
	}
	for key, believed := range map[string]bool{"": true, secret: false} {
		s := prepare(t, config.API{Auth: config.Auth{AuthMode: config.AuthDev, OperatorKeySource: config.OperatorKeySource{OperatorKey: key}}})
		authenticator, err := newAuthenticator(t.Context(), s, nil, zap.NewNop())
		require.NoError(t, err)
		require.Equal(t, api.DevAuthenticator{BelieveOperator: believed}, authenticator)
	}
}

// prepare ignores what is not set in c; only the pepper matters here.
func prepare(t *testing.T, c config.API) Settings {
	t.Helper()
	s, _ := Prepare(c, catalog.Catalog{})
	return s
}

// The API does not start if the provider's keys cannot be read, and names the provider.
func TestUnreachableOIDCProviderFailsStart(t *testing.T) {
	s := Settings{API: config.API{Auth: config.Auth{
		AuthMode: config.AuthOIDC, OIDCProvider: config.OIDCProvider{Issuer: "http://127.0.0.1:1", Audience: "a"},
	}}}
	_, err := newAuthenticator(t.Context(), s, nil, zap.NewNop())
	require.ErrorContains(t, err, "http://127.0.0.1:1")
}

// The operator sees the limits that hold for a tenant without settings, also those that no variable sets.
func TestOperatorSeesDefaultLimits(t *testing.T) {
	firestore, pubsub := strict.StartFirestore(t, firestoreemulator.Options{}), emulatortest.StartPubSub(t, pubsubemulator.Options{})
	configtest.SetOnly(t, map[string]string{
		"FIRESTORE_EMULATOR_HOST": firestore.Address(), "PUBSUB_EMULATOR_HOST": pubsub.Address(), "AIRLOCK_LISTEN_ADDR": "127.0.0.1:0",
		"AIRLOCK_TENANT_MAX_DAILY_USD": "5", "AIRLOCK_SHUTDOWN_DRAIN": "0s", "AIRLOCK_TRANSCRIPT_RETENTION": "72h",
	})
	s, err := Load()
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	address, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() { ended <- Run(ctx, s, zap.NewNop(), func(a net.Addr) { address <- a }) }()
	defer func() {
		stop()
		require.NoError(t, <-ended)
	}()
	c, err := client.New("http://"+(<-address).String(), client.WithOperator())
	require.NoError(t, err)
	ada, err := c.Tenant(t.Context(), "ada")
	require.NoError(t, err)
	require.Equal(t, client.TenantLimits{MaxQueued: 10_000, MaxDailyUsd: 5, SoftLimit: 0.8, Weight: 1, TranscriptRetention: "72h0m0s"}, ada.Limits)
}

func TestTrustedProxies(t *testing.T) {
	var networks []string
	for _, n := range ipNets([]netip.Prefix{netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("fd00::/8")}) {
		networks = append(networks, n.String())
	}
	require.Equal(t, []string{"10.0.0.0/8", "fd00::/8"}, networks)
}
