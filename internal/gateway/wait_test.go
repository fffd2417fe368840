package gateway

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWaitClockCountsTimeInWhichAnyCallWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWaitClock(time.Hour)
		time.Sleep(time.Minute)
		require.Zero(t, c.waited())

		first := c.begin()
		time.Sleep(10 * time.Second)
		second := c.begin()
		time.Sleep(10 * time.Second)
		c.end(first, time.Now())
		time.Sleep(10 * time.Second)
		require.Equal(t, 30*time.Second, c.waited(), "the second still waits")
		c.end(second, time.Now())
		time.Sleep(time.Minute)
		require.Equal(t, 30*time.Second, c.waited())

		third := c.begin()
		time.Sleep(10 * time.Second)
		require.Equal(t, 40*time.Second, c.waited())
		c.end(third, time.Now().Add(-6*time.Second))
		require.Equal(t, 34*time.Second, c.waited(), "the last try has succeeded after 6 s")
	})
}

func TestWaitClockStopsAtLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWaitClock(time.Minute)
		w := c.begin()
		time.Sleep(time.Hour)
		require.Equal(t, time.Minute, c.waited())
		c.end(w, time.Now())
		require.Equal(t, time.Minute, c.waited())
	})
}

func TestWaitsAreAnnouncedSparingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWaitClock(time.Hour)
		w := c.begin()
		for _, delay := range []struct {
			seconds   int
			announced bool
		}{{1, true}, {1, false}, {2, true}, {3, false}, {20, true}, {30, false}, {30, false}, {30, true}} {
			require.Equal(t, delay.announced, c.announce(time.Duration(delay.seconds)*time.Second), delay)
			time.Sleep(time.Duration(delay.seconds) * time.Second)
		}
		c.end(w, time.Now())
		defer c.end(c.begin(), time.Now())
		require.True(t, c.announce(time.Second), "another wait")
	})
}

func TestRetryAfter(t *testing.T) {
	const date = "Mon, 02 Jan 2006 15:04:05 GMT"
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"none":                {http.Header{}, 0},
		"seconds":             {http.Header{"Retry-After": {"90"}}, 90 * time.Second},
		"part of a second":    {http.Header{"Retry-After": {"0.5"}}, 500 * time.Millisecond},
		"milliseconds":        {http.Header{"Retry-After-Ms": {"250"}, "Retry-After": {"1"}}, 250 * time.Millisecond},
		"a date":              {http.Header{"Retry-After": {"Mon, 02 Jan 2006 15:05:05 GMT"}, "Date": {date}}, time.Minute},
		"a date that is past": {http.Header{"Retry-After": {date}}, 0},
		"zero":                {http.Header{"Retry-After": {"0"}}, 0},
		"negative":            {http.Header{"Retry-After": {"-5"}}, 0},
		"no number":           {http.Header{"Retry-After": {"NaN"}}, 0},
		"endless":             {http.Header{"Retry-After": {"Inf"}}, 24 * time.Hour},
		"rubbish":             {http.Header{"Retry-After": {"soon"}}, 0},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, retryAfter(c.header)) })
	}
	now := http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}
	require.InDelta(t, time.Hour, retryAfter(now), float64(10*time.Second), "without the provider's clock")
}

func TestBackoffDoublesUpToItsBound(t *testing.T) {
	for n, limit := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 5: 16 * time.Second, 6: 30 * time.Second, 1000: 30 * time.Second,
	} {
		for range 100 {
			delay := backoff(time.Second, n)
			require.LessOrEqual(t, delay, limit)
			require.Greater(t, delay, limit/2)
		}
	}
}
