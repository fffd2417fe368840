package backoff

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestJitterStaysWithinBoundsAndRepeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "low"))
		high := low + time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "range"))
		seed := rapid.String().Draw(t, "seed")
		got := Jitter(low, high, seed)
		require.Greater(t, got, low)
		require.LessOrEqual(t, got, high)
		require.Equal(t, got, Jitter(low, high, seed))
	})
}

func TestJitterDiffersBySeed(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range 1000 {
		seen[Jitter(8*time.Second, 12*time.Second, fmt.Sprint(i)).Round(100*time.Millisecond)] = true
	}
	require.Len(t, seen, 41, "every tenth of a second between the bounds")
}
