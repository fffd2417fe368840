package app

import (
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

var testPepper = PepperSource{Pepper: strings.Repeat("pepper", 6)}

// The operator's keys are known to an API that has the same pepper, and to no other.
func TestIssuedKeyAuthenticatesWithSamePepper(t *testing.T) {
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	issuer := KeyIssuer{Services: Services{Project: emulatortest.Project, FirestoreHost: f.Address()}, PepperSource: testPepper}
	k, secret, err := issuer.Issue(t.Context(), "ada", "first", tenant.AllScopes, time.Hour)
	require.NoError(t, err)
	require.Equal(t, time.Hour, k.ExpiresAt.Sub(k.CreatedAt))

	for pepper, known := range map[string]bool{testPepper.Pepper: true, strings.Repeat("other", 8): false} {
		c := API{ListenAddr: "0.0.0.0:8000", Auth: Auth{PepperSource: PepperSource{Pepper: pepper}}}
		authenticator, _, err := c.newAuthenticator(t.Context(), store.New(f.Client), zap.NewNop())
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+secret.Reveal())
		found, err := authenticator.Authenticate(req)
		if !known {
			require.ErrorAs(t, err, new(*auth.UnauthenticatedError))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tenant.Caller{Tenant: "ada", Subject: k.ID, Scopes: tenant.AllScopes}, found)
	}

	for wantErr, wrong := range map[string]struct {
		tenant string
		scopes []tenant.Scope
	}{
		"a tenant is not called": {"../ada", tenant.AllScopes}, "the scopes are": {"ada", []tenant.Scope{"root"}},
	} {
		_, _, err := issuer.Issue(t.Context(), wrong.tenant, "x", wrong.scopes, 0)
		require.ErrorContains(t, err, wantErr)
	}
}

func TestKeyIssuerRequiredVariables(t *testing.T) {
	setOnlyEnv(t, nil)
	_, err := LoadKeyIssuer()
	require.ErrorContains(t, err, "GOOGLE_CLOUD_PROJECT")
	require.ErrorContains(t, err, "AIRLOCK_API_KEY_PEPPER")
	setOnlyEnv(t, map[string]string{"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "AIRLOCK_API_KEY_PEPPER": testPepper.Pepper})
	_, err = LoadKeyIssuer()
	require.NoError(t, err, "Pub/Sub has no part in it")
}

// On one machine keys work without a word; their pepper is the same after a restart.
func TestDevCreatesPepperOnce(t *testing.T) {
	d := Dev{API: API{ListenAddr: "0.0.0.0:8000"}}
	d.Emulators.Dir = t.TempDir()
	require.NoError(t, d.ensurePepper())
	first, err := os.ReadFile(d.API.PepperFile)
	require.NoError(t, err)
	info, err := os.Stat(d.API.PepperFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, d.API.validateAuth())

	d.API.PepperFile = ""
	require.NoError(t, d.ensurePepper())
	again, err := os.ReadFile(d.API.PepperFile)
	require.NoError(t, err)
	require.Equal(t, first, again)

	local := Dev{API: API{ListenAddr: "127.0.0.1:8000"}}
	local.Emulators.Dir = t.TempDir()
	require.NoError(t, local.ensurePepper())
	require.Empty(t, local.API.PepperFile, "nobody needs one on loopback")
}

// The address that counts is the one that was taken.
func TestDevAuthRequiresLoopbackAddr(t *testing.T) {
	for address, fine := range map[string]bool{"127.0.0.1": true, "::1": true, "192.0.2.1": false, "::": false} {
		c := API{ListenAddr: "localhost:8000"}
		err := c.checkBoundAddr(&net.TCPAddr{IP: net.ParseIP(address)})
		require.Equal(t, fine, err == nil, address)
	}
}

// A provider that cannot be asked keeps the API from starting, and is named.
func TestUnreachableOIDCProviderFailsStart(t *testing.T) {
	c := API{ListenAddr: "0.0.0.0:8000", Auth: Auth{AuthMode: AuthOIDC, OIDCProvider: OIDCProvider{Issuer: "http://127.0.0.1:1", Audience: "a"}}}
	_, _, err := c.newAuthenticator(t.Context(), nil, zap.NewNop())
	require.ErrorContains(t, err, "http://127.0.0.1:1")
}
