package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// letters awaits so many dead letters, and acknowledges them.
func (f fixture) awaitDeadLetters(t *testing.T, n int) (letters []DeadLetter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	for len(letters) < n {
		more, err := f.PullDeadLetters(ctx)
		require.NoError(t, err)
		for _, l := range more {
			l.Acknowledge()
		}
		letters = append(letters, more...)
	}
	require.Len(t, letters, n)
	return letters
}

// What names no execution can never be looked at: it must neither come again
// and again nor be lost sight of.
func TestInvalidMessageBecomesDeadLetter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	invalid := []string{
		"rubbish", "null", "[]", `{"tenant":1}`, `{"tenant":"ada"}`, `{"executionId":"exe_1"}`, `{"tenant":"","executionId":""}`, "\xff\xfe",
		`{"tenant":"ada","executionId":"exe_1"}`, `{"tenant":"../x","executionId":"` + executionID(1) + `"}`, `{"tenant":"a/b","executionId":"` + executionID(1) + `"}`,
	}
	for _, data := range invalid {
		f.publishRaw(t, laneTopic(execution.LaneInteractive), data)
	}
	f.publishRefs(t, sampleRef)
	got, receive := f.receiveAll(t)
	require.Equal(t, sampleRef, await(t, got), "it is not held up by rubbish")
	var dead []string
	for _, l := range f.awaitDeadLetters(t, len(invalid)) {
		require.Zero(t, l.Ref)
		dead = append(dead, string(l.Data))
	}
	require.ElementsMatch(t, invalid, dead)
	receive.stop()
	require.Empty(t, got)
}

// Rubbish stays in its lane while it cannot be buried.
func TestInvalidMessageStaysWithoutDeadLetterTopic(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	topic := f.topic(deadLetterTopic)
	require.NoError(t, f.deleteTopic(t.Context(), topic))
	f.publishRaw(t, laneTopic(execution.LaneInteractive), "rubbish")
	_, err := f.Pull(t.Context(), execution.LaneInteractive, 1)
	require.Error(t, err)
	f.Close()
	require.Zero(t, f.recorder.acked.Load())
}

// A message that nobody can look at is given up in the end, and not before.
func TestMaxDeliveriesMakesDeadLetter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.recorder.noDelay = true
	f.publishRefs(t, sampleRef)
	for range maxDeliveries {
		require.NoError(t, f.pullOne(t).Nack(t.Context()))
	}
	require.Equal(t, sampleRef, f.awaitDeadLetters(t, 1)[0].Ref)
	var delays []time.Duration
	for delivery := range maxDeliveries {
		delays = append(delays, nackDelay(delivery+1))
	}
	require.Equal(t, delays, f.recorder.nackDelays)
}

func TestNackRedeliversDeadLetter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publishRaw(t, deadLetterTopic, "rubbish")
	for range 3 {
		letters, err := f.PullDeadLetters(t.Context())
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.NoError(t, letters[0].Nack(t.Context()))
	}
	f.awaitDeadLetters(t, 1)
}
