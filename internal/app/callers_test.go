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

var peppered = Peppered{Pepper: strings.Repeat("pepper", 6)}

// The operator's keys are known to an API that has the same pepper, and to no other.
func TestTheOperatorsKeysAreKnown(t *testing.T) {
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	issuer := Issuer{Services: Services{Project: emulatortest.Project, FirestoreHost: f.Address()}, Peppered: peppered}
	k, secret, err := issuer.Issue(t.Context(), "ada", "first", tenant.All, time.Hour)
	require.NoError(t, err)
	require.Equal(t, time.Hour, k.ExpiresAt.Sub(k.CreatedAt))

	for pepper, known := range map[string]bool{peppered.Pepper: true, strings.Repeat("other", 8): false} {
		c := API{Listen: "0.0.0.0:8000", Callers: Callers{Peppered: Peppered{Pepper: pepper}}}
		authenticator, _, err := c.authenticator(t.Context(), store.New(f.Client), zap.NewNop())
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
		require.Equal(t, tenant.Caller{Tenant: "ada", Subject: k.ID, Scopes: tenant.All}, found)
	}

	for says, wrong := range map[string]struct {
		tenant string
		scopes []tenant.Scope
	}{
		"a tenant is not called": {"../ada", tenant.All}, "the scopes are": {"ada", []tenant.Scope{"root"}},
	} {
		_, _, err := issuer.Issue(t.Context(), wrong.tenant, "x", wrong.scopes, 0)
		require.ErrorContains(t, err, says)
	}
}

func TestWhatAnIssuerNeeds(t *testing.T) {
	environment(t, nil)
	_, err := LoadIssuer()
	require.ErrorContains(t, err, "GOOGLE_CLOUD_PROJECT")
	require.ErrorContains(t, err, "KEY_PEPPER")
	environment(t, map[string]string{"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "KEY_PEPPER": peppered.Pepper})
	_, err = LoadIssuer()
	require.NoError(t, err, "Pub/Sub has no part in it")
}

// On one machine keys work without a word; their pepper is the same after a restart.
func TestDevHasAPepperOfItsOwn(t *testing.T) {
	d := Dev{API: API{Listen: "0.0.0.0:8000"}}
	d.Emulators.Dir = t.TempDir()
	require.NoError(t, d.ownPepper())
	first, err := os.ReadFile(d.API.PepperFile)
	require.NoError(t, err)
	info, err := os.Stat(d.API.PepperFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, d.API.checkCallers())

	d.API.PepperFile = ""
	require.NoError(t, d.ownPepper())
	again, err := os.ReadFile(d.API.PepperFile)
	require.NoError(t, err)
	require.Equal(t, first, again)

	local := Dev{API: API{Listen: "127.0.0.1:8000"}}
	local.Emulators.Dir = t.TempDir()
	require.NoError(t, local.ownPepper())
	require.Empty(t, local.API.PepperFile, "nobody needs one on loopback")
}

// The address that counts is the one that was taken.
func TestBelievingIsForLoopback(t *testing.T) {
	for address, fine := range map[string]bool{"127.0.0.1": true, "::1": true, "192.0.2.1": false, "::": false} {
		c := API{Listen: "localhost:8000"}
		err := c.guard(&net.TCPAddr{IP: net.ParseIP(address)})
		require.Equal(t, fine, err == nil, address)
	}
}

// A provider that cannot be asked keeps the API from starting, and is named.
func TestAProviderThatIsAway(t *testing.T) {
	c := API{Listen: "0.0.0.0:8000", Callers: Callers{AuthMode: AuthOIDC, Provider: Provider{Issuer: "http://127.0.0.1:1", Audience: "a"}}}
	_, _, err := c.authenticator(t.Context(), nil, zap.NewNop())
	require.ErrorContains(t, err, "http://127.0.0.1:1")
}
