package netguard

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckURL(t *testing.T) {
	local := Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for _, text := range []string{"https://example.com", "https://example.com:8443/a?b=c", "https://8.8.8.8/x", "https://[2607:6bc0::10]/"} {
		require.NoError(t, CheckURL(text, Guard{}), text)
	}
	for _, text := range []string{
		"", "example.com", "/hook", "http://example.com", "ftp://example.com", "https://", "https://:443", "https://user:pw@example.com",
		"https://example.com/#f", "https://example.com:0", "https://example.com:65536", "https://10.0.0.1/", "https://[::1]/", "https://169.254.169.254/",
		"https://[64:ff9b::a9fe:a9fe]/", "https://[::ffff:127.0.0.1]/", "https://exa mple.com", "\x00", "https://example.com/" + strings.Repeat("a", maxURLLength),
	} {
		require.Error(t, CheckURL(text, Guard{}), text)
	}
	require.NoError(t, CheckURL("http://127.0.0.1:9000/", local))
	require.NoError(t, CheckURL("http://localhost/", local))
	require.Error(t, CheckURL("http://10.0.0.1/", local))
}

func FuzzCheckURL(f *testing.F) {
	f.Add("https://example.com/hook")
	f.Add("https://[::1]:1/")
	f.Fuzz(func(t *testing.T, text string) {
		if CheckURL(text, Guard{}) == nil {
			require.True(t, strings.HasPrefix(strings.ToLower(text), "https://"))
			_, err := json.Marshal(text)
			require.NoError(t, err)
			_, err = http.NewRequest(http.MethodPost, text, nil)
			require.NoError(t, err, "a request to an accepted URL can be made")
		}
	})
}
