package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// letters awaits so many dead letters, and acknowledges them.
func (f fixture) letters(t *testing.T, n int) (letters []DeadLetter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(letters) < n {
		more, err := f.PullDead(ctx)
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
func TestRubbishIsADeadLetter(t *testing.T) {
	t.Parallel()
	f := start(t)
	rubbish := []string{
		"rubbish", "null", "[]", `{"owner":1}`, `{"owner":"ada"}`, `{"executionId":"exe_1"}`, `{"owner":"","executionId":""}`, "\xff\xfe",
		`{"owner":"ada","executionId":"exe_1"}`, `{"owner":"../x","executionId":"` + exe(1) + `"}`, `{"owner":"a/b","executionId":"` + exe(1) + `"}`,
	}
	for _, data := range rubbish {
		f.publish(t, laneTopic(execution.Interactive), data)
	}
	f.announce(t, hello)
	got, receive := f.receive(t)
	require.Equal(t, hello, await(t, got), "it is not held up by rubbish")
	var dead []string
	for _, l := range f.letters(t, len(rubbish)) {
		require.Zero(t, l.Ref)
		dead = append(dead, string(l.Data))
	}
	require.ElementsMatch(t, rubbish, dead)
	receive.stop()
	require.Empty(t, got)
}

// Rubbish stays in its lane while it cannot be buried.
func TestRubbishWaitsForItsGrave(t *testing.T) {
	t.Parallel()
	f := start(t)
	topic := f.topic(deadTopic)
	require.NoError(t, f.dropTopic(t.Context(), topic))
	f.publish(t, laneTopic(execution.Interactive), "rubbish")
	_, err := f.Pull(t.Context(), execution.Interactive, 1)
	require.Error(t, err)
	f.Close()
	require.Zero(t, f.settled.acked.Load())
}

// A message that nobody can look at is given up in the end, and not before.
func TestWhatIsGivenBackTooOftenIsADeadLetter(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.settled.hurry = true
	f.announce(t, hello)
	for range maxDeliveries {
		require.NoError(t, f.pull(t).GiveBack(t.Context()))
	}
	require.Equal(t, hello, f.letters(t, 1)[0].Ref)
	var waited []time.Duration
	for delivery := range maxDeliveries {
		waited = append(waited, giveBackDelay(delivery+1))
	}
	require.Equal(t, waited, f.settled.delays)
}

func TestADeadLetterThatIsGivenBackComesAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.publish(t, deadTopic, "rubbish")
	for range 3 {
		letters, err := f.PullDead(t.Context())
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.NoError(t, letters[0].GiveBack(t.Context()))
	}
	f.letters(t, 1)
}
