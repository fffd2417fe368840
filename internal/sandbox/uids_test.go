package sandbox

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUIDRange(t *testing.T) {
	var r UIDRange
	require.NoError(t, r.UnmarshalText([]byte("200000-265535")))
	require.Equal(t, UIDRange{200000, 265535}, r)
	require.Equal(t, 65536, r.Size())
	require.Equal(t, "200000-265535", r.String())
	require.True(t, r.Contains(200000) && r.Contains(265535))
	require.False(t, r.Contains(199999) || r.Contains(265536))

	require.NoError(t, r.UnmarshalText([]byte(DefaultUIDs.String())))
	require.Equal(t, DefaultUIDs, r)
	for _, invalid := range []string{"", "1000", "0-10", "10-9", "-1-5", "a-b", "1-2147483648", "1-2-3"} {
		require.ErrorContains(t, r.UnmarshalText([]byte(invalid)), "is not a range of user IDs", invalid)
	}
}
