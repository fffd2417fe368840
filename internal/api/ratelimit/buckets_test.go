package ratelimit

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBucketRefills(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBuckets(2, 3, func() time.Time { return now })
	for range 3 {
		require.Zero(t, b.Take("ada"))
	}
	require.Equal(t, 500*time.Millisecond, b.Take("ada"))
	require.Equal(t, 500*time.Millisecond, b.Take("ada"), "a rejected request takes no token")
	require.Zero(t, b.Take("bob"), "another name has its own bucket")
	now = now.Add(500 * time.Millisecond)
	require.Zero(t, b.Take("ada"))
	require.NotZero(t, b.Take("ada"))
}

func TestZeroRateIsUnlimited(t *testing.T) {
	b := NewBuckets(0, 0, nil)
	require.Zero(t, b.Take("ada"))
}

// In any time there are at most the burst and the tokens that were gained meanwhile.
func TestTakeNeverExceedsBurstPlusRefill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		b := NewBuckets(10, 5, func() time.Time { return now })
		taken := 0
		for _, ms := range rapid.SliceOf(rapid.IntRange(0, 300)).Draw(t, "pauses") {
			now = now.Add(time.Duration(ms) * time.Millisecond)
			wait := b.Take("ada")
			if wait == 0 {
				taken++
			}
			if limit := 5 + 10*now.Sub(time.Unix(0, 0)).Seconds(); float64(taken) > limit+1e-9 {
				t.Fatalf("%d tokens were taken; there were %v", taken, limit)
			}
			if wait > 100*time.Millisecond {
				t.Fatalf("there is a new token every 100ms, not in %s", wait)
			}
		}
	})
}

func TestBucketCountIsBounded(t *testing.T) {
	b := NewBuckets(1, 1, nil)
	for i := range 3 * maxBuckets {
		b.Take(fmt.Sprint(i))
	}
	require.Equal(t, maxBuckets, b.limiters.Len())
}

func TestConcurrentTake(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBuckets(1, 10, func() time.Time { return now })
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		taken int
	)
	for range 100 {
		all.Go(func() {
			if b.Take("ada") == 0 {
				mu.Lock()
				taken++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	require.Equal(t, 10, taken)
}
