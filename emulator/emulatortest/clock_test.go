package emulatortest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
)

func TestFrozenClockAdvances(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	c := emulatortest.NewFrozenClock(start)
	var fired []time.Duration
	record := func() { fired = append(fired, c.Now().Sub(start)) }
	c.AfterFunc(3*time.Second, record)
	c.AfterFunc(time.Second, func() {
		record()
		c.AfterFunc(time.Second, record)
	})
	stopped := c.AfterFunc(time.Second, record)
	require.True(t, stopped.Stop())
	require.False(t, stopped.Stop())
	moved := c.AfterFunc(time.Second, record)
	require.True(t, moved.Reset(5*time.Second))

	c.Advance(4 * time.Second)
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}, fired, "timers fire at their times, in order")
	require.Equal(t, start.Add(4*time.Second), c.Now())
	c.Advance(time.Second)
	require.Len(t, fired, 4)
	require.False(t, moved.Reset(time.Second), "the timer has fired")
	c.Advance(-time.Hour)
	require.Equal(t, start.Add(5*time.Second-time.Hour), c.Now())
	require.Len(t, fired, 4)
}

func TestRunningClockAdvances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c emulatortest.Clock
		start := time.Now()
		require.Equal(t, start, c.Now())
		fired := make(chan time.Duration, 4)
		record := func() { fired <- time.Since(start) }
		c.AfterFunc(time.Minute, record)
		c.AfterFunc(2*time.Minute, record)
		c.AfterFunc(3*time.Minute, record)
		stopped := c.AfterFunc(2*time.Minute, record)
		require.True(t, stopped.Stop())

		c.Advance(90 * time.Second)
		require.Equal(t, start.Add(90*time.Second), c.Now())
		require.Equal(t, time.Duration(0), <-fired, "due after Advance")
		require.Equal(t, 30*time.Second, <-fired, "Advance shortens the time to the next timer")
		require.Equal(t, 90*time.Second, <-fired)
	})
}
