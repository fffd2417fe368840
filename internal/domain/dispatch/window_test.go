package dispatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWindow(t *testing.T) {
	for name, test := range map[string]struct {
		capacity Capacity
		want     int
	}{
		"alone: all slots, and two ahead":     {Capacity{Slots: 4, Weight: 1, WaitingWeight: 1}, 6},
		"no executor":                         {Capacity{Weight: 1, WaitingWeight: 1}, 2},
		"one of two":                          {Capacity{Slots: 4, Weight: 1, WaitingWeight: 2}, 3},
		"twice the weight":                    {Capacity{Slots: 10, Weight: 2, WaitingWeight: 3}, 8},
		"one of many":                         {Capacity{Slots: 4, Weight: 1, WaitingWeight: 1000}, 2},
		"short jobs are published further":    {Capacity{Slots: 4, Weight: 1, WaitingWeight: 1, EndsPerSecond: 100}, 31},
		"its own weight is not counted yet":   {Capacity{Slots: 4, Weight: 1}, 6},
		"many slots, jobs of a minute: 4,000": {Capacity{Slots: 4000, Weight: 1, WaitingWeight: 1, EndsPerSecond: 4000. / 60}, 4018},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, Window(test.capacity)) })
	}
}

// The windows of all waiting tenants together use every slot, and leave little more in the queue than two executions
// for each tenant.
func TestWindowsUseAllSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(0, 5000).Draw(t, "slots")
		weights := rapid.SliceOfN(rapid.Float64Range(0.1, 10), 1, 200).Draw(t, "weights")
		total := 0.0
		for _, w := range weights {
			total += w
		}
		sum := 0
		for _, w := range weights {
			window := Window(Capacity{Slots: slots, Weight: w, WaitingWeight: total})
			require.GreaterOrEqual(t, window, MinWindow)
			sum += window
		}
		require.GreaterOrEqual(t, sum, slots)
		require.LessOrEqual(t, sum, slots+minAhead+MinWindow*len(weights))
	})
}

func TestRateForgets(t *testing.T) {
	now := time.Now()
	var r rate
	require.Zero(t, r.get(now))
	for range 1000 {
		now = now.Add(10 * time.Millisecond)
		r.add(1, now)
	}
	require.InDelta(t, 100, r.get(now), 5)
	require.InDelta(t, 37, r.get(now.Add(time.Second)), 3)
	require.Less(t, r.get(now.Add(time.Minute)), 1e-6)
}
