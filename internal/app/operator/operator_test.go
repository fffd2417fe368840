package operator

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/config/configtest"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

var testPepper = config.PepperSource{Pepper: strings.Repeat("pepper", 6)}

func TestIssueRefusesInvalidRequest(t *testing.T) {
	issuer, err := NewKeyIssuer(config.Services{FirestoreHost: "127.0.0.1:1"}, testPepper)
	require.NoError(t, err)
	for wantErr, r := range map[string]KeyRequest{
		`"../ada" is not a valid tenant name`: {Tenant: "../ada", Scopes: tenant.AllScopes},
		"scopes must be among":                {Tenant: "ada", Scopes: []tenant.Scope{"root"}},
		"not []":                              {Tenant: "ada"},
	} {
		_, _, err := issuer.Issue(t.Context(), r)
		require.ErrorContains(t, err, wantErr)
	}
}

func TestKeyIssuerRequiredVariables(t *testing.T) {
	configtest.SetOnly(t, map[string]string{"AIRLOCK_API_KEY_PEPER": "x"})
	_, err := LoadKeyIssuer()
	require.ErrorContains(t, err, "GOOGLE_CLOUD_PROJECT")
	require.ErrorContains(t, err, "AIRLOCK_API_KEY_PEPPER (needed")
	require.ErrorContains(t, err, "unknown variable AIRLOCK_API_KEY_PEPER")
	configtest.SetOnly(t, map[string]string{"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "AIRLOCK_API_KEY_PEPPER": testPepper.Pepper})
	_, err = LoadKeyIssuer()
	require.NoError(t, err, "Pub/Sub plays no part")
}

// The operator's commands do not need to know where blobs are.
func TestOperatorCommandsNeedNoBlobURL(t *testing.T) {
	configtest.SetOnly(t, map[string]string{"GOOGLE_CLOUD_PROJECT": "prod", "AIRLOCK_API_KEY_PEPPER": testPepper.Pepper})
	r, err := LoadRedrive()
	require.NoError(t, err)
	require.Equal(t, config.Services{Project: "prod"}, r.Services)
	i, err := LoadKeyIssuer()
	require.NoError(t, err)
	require.Equal(t, config.Services{Project: "prod"}, i.Services)

	configtest.SetOnly(t, configtest.WithEmulators(nil))
	r, err = LoadRedrive()
	require.NoError(t, err)
	require.Equal(t, config.LocalProject, r.Project)

	configtest.SetOnly(t, nil)
	_, err = LoadRedrive()
	require.ErrorContains(t, err, "GOOGLE_CLOUD_PROJECT")
}
