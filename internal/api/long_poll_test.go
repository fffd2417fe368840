package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

func TestPreferredWait(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"wait=30": 30 * time.Second, `respond-async, Wait="5"`: 5 * time.Second, "wait=10; x=y": 10 * time.Second,
		"wait=3600": time.Minute, "wait=2147483647": time.Minute, "wait=0": 0,
	} {
		got, ok := preferredWait([]string{header})
		require.True(t, ok, header)
		require.Equal(t, want, got, header)
	}
	for _, header := range []string{"", "wait", "wait=", "wait=-1", "wait=soon", "wait=1.5", "return=minimal", "wait=99999999999999999999"} {
		_, ok := preferredWait([]string{header})
		require.False(t, ok, header)
	}
}

func FuzzPreferredWait(f *testing.F) {
	f.Add("wait=30, handling=lenient")
	f.Fuzz(func(t *testing.T, header string) {
		d, _ := preferredWait([]string{header})
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, maxWait)
	})
}

func TestPreferHeaderWaits(t *testing.T) {
	s := startServer(t)
	e := s.runAgent(s.createAgent().Id)
	got := s.do(http.MethodGet, e.Urls.Self, "", "Prefer", "wait=0")
	require.Equal(t, "wait=0", got.Header.Get("Preference-Applied"))
	finished := make(chan response)
	go func() { finished <- s.do(http.MethodGet, e.Urls.Self, "", "Prefer", "wait=45") }()
	call[contract.Execution](s, "POST "+e.Urls.Cancel, http.StatusAccepted, "")
	got = <-finished
	require.Equal(t, "wait=45", got.Header.Get("Preference-Applied"))
	require.Contains(t, string(got.body), `"canceled"`)
	got = s.do(http.MethodGet, e.Urls.Self, "", "Prefer", "nonsense")
	require.Empty(t, got.Header.Get("Preference-Applied"))
}
