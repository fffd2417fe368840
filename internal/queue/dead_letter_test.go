package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// awaitDeadLetters waits for n dead letters and acknowledges them.
func (f fixture) awaitDeadLetters(t *testing.T, n int) (found []DeadLetter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	for len(found) < n {
		more, err := f.PullDeadLetters(ctx)
		require.NoError(t, err)
		for _, l := range more {
			l.Acknowledge()
		}
		found = append(found, more...)
	}
	require.Len(t, found, n)
	return found
}

// A message that names no execution must neither be delivered forever nor be lost.
func TestInvalidMessageBecomesDeadLetter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	invalid := []string{
		"not JSON", "null", "[]", `{"tenant":1}`, `{"tenant":"ada"}`, `{"executionId":"exe_1"}`, `{"tenant":"","executionId":""}`, "\xff\xfe",
		`{"tenant":"ada","executionId":"exe_1"}`,
		`{"tenant":"../x","executionId":"` + executionID(1) + `"}`,
		`{"tenant":"a/b","executionId":"` + executionID(1) + `"}`,
	}
	for _, data := range invalid {
		f.publishRaw(t, laneTopic(execution.LaneInteractive), data)
	}
	f.publishRefs(t, sampleRef)
	got, receive := f.receiveAll(t)
	require.Equal(t, sampleRef, await(t, got), "invalid messages do not delay it")
	var dead []string
	for _, l := range f.awaitDeadLetters(t, len(invalid)) {
		require.Zero(t, l.Ref)
		dead = append(dead, string(l.Data))
	}
	require.ElementsMatch(t, invalid, dead)
	receive.stop()
	require.Empty(t, got)
}

// An invalid message stays in its lane while it cannot become a dead letter.
func TestInvalidMessageStaysWithoutDeadLetterTopic(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	topic := f.topic(deadLetterTopic)
	require.NoError(t, f.deleteTopic(t.Context(), topic))
	f.publishRaw(t, laneTopic(execution.LaneInteractive), "not JSON")
	_, err := f.Pull(t.Context(), interactive, 1)
	require.Error(t, err)
	f.Close()
	require.Zero(t, f.recorder.acked.Load())
}

// A message that no executor can process becomes a dead letter after maxDeliveries, and not before.
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
	f.publishRaw(t, deadLetterTopic, "not JSON")
	for range 3 {
		letters, err := f.PullDeadLetters(t.Context())
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.NoError(t, letters[0].Nack(t.Context()))
	}
	f.awaitDeadLetters(t, 1)
}
