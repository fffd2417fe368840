package queue

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestWhatIsToldIsPulledOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	got, receive := f.receive(t)
	var told, received []execution.Ref
	for i := range 20 {
		ref := execution.Ref{Owner: fmt.Sprint("tenant", i%3), ID: exe(i)}
		told = append(told, ref)
		f.announce(t, ref)
	}
	for range told {
		received = append(received, await(t, got))
	}
	require.ElementsMatch(t, told, received)
	receive.stop()
	require.Empty(t, got)
}

func TestOneChangeMayAnnounceSeveralOrNone(t *testing.T) {
	t.Parallel()
	f := start(t)
	got, _ := f.receive(t)
	f.announce(t)
	refs := []execution.Ref{{Owner: "ada", ID: exe(1)}, {Owner: "ada", ID: exe(2)}}
	f.announce(t, refs...)
	require.ElementsMatch(t, refs, []execution.Ref{await(t, got), await(t, got)})
}

func TestALaneHasOnlyItsOwn(t *testing.T) {
	t.Parallel()
	f := start(t)
	batched := execution.Execution{Owner: "ada", ID: exe(2), Lane: execution.Batch}
	require.NoError(t, f.Tell(t.Context(), execution.Change{Execution: batched, Announce: []execution.Ref{batched.Ref()}}))
	f.announce(t, hello)
	for lane, ref := range map[execution.Lane]execution.Ref{execution.Interactive: hello, execution.Batch: batched.Ref()} {
		announced, err := f.Pull(t.Context(), lane, 10)
		require.NoError(t, err)
		require.Len(t, announced, 1)
		require.Equal(t, ref, announced[0].Ref)
	}
}

// The rest is left where another executor can have it.
func TestPullTakesNoMoreThanItWasAskedFor(t *testing.T) {
	t.Parallel()
	f := start(t)
	var told, pulled []execution.Ref
	for i := range 5 {
		told = append(told, execution.Ref{Owner: "ada", ID: exe(i)})
	}
	f.announce(t, told...)
	for len(pulled) < len(told) {
		announced, err := f.Pull(t.Context(), execution.Interactive, 2)
		require.NoError(t, err)
		require.LessOrEqual(t, len(announced), 2)
		for _, a := range announced {
			pulled = append(pulled, a.Ref)
		}
	}
	require.ElementsMatch(t, told, pulled, "while none of them is acknowledged")
}

// What is given back is another's at once, and later only after a while.
func TestWhatIsGivenBackComesAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.announce(t, hello)
	require.NoError(t, f.pull(t).GiveBack(t.Context()))
	second := f.pull(t)
	require.Equal(t, hello, second.Ref)
	began := time.Now()
	require.NoError(t, second.GiveBack(t.Context()))
	third := f.pull(t)
	require.Equal(t, hello, third.Ref)
	require.GreaterOrEqual(t, time.Since(began), giveBackDelay(2))
	third.Acknowledge()
	f.Close()
	require.EqualValues(t, 1, f.settled.acked.Load())
}

func TestTheDelaysOfGivingBack(t *testing.T) {
	const s = time.Second
	var delays []time.Duration
	var sum time.Duration
	for delivery := range maxDeliveries + 1 {
		delays = append(delays, giveBackDelay(delivery))
		sum += giveBackDelay(delivery)
	}
	require.Equal(t, []time.Duration{0, 0, s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 128 * s, 256 * s, 512 * s, maxDelay, maxDelay}, delays[:14])
	require.Equal(t, maxDelay, delays[maxDeliveries])
	require.Greater(t, sum, 15*time.Hour, "so long an outage makes no dead letter")
}

func TestAPollInFlightEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := f.Pull(ctx, execution.Interactive, 1)
		ended <- err
	}()
	cancel()
	require.Error(t, await(t, ended))
	f.announce(t, hello)
	require.Equal(t, hello, f.pull(t).Ref, "nobody has it who is gone")
}

// Without its subscription, and without Pub/Sub, there is an error rather than silence.
func TestPullFailsAtOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, f.drop(ctx))
	_, err := f.Pull(ctx, execution.Interactive, 1)
	require.Error(t, err)
	f.pubsub.Away()
	_, err = f.Pull(ctx, execution.Interactive, 1)
	require.Error(t, err)
	require.NoError(t, ctx.Err(), "it does not try again by itself")
}

func TestPullLeavesNoGoroutines(t *testing.T) {
	f := start(t)
	before := goleak.IgnoreCurrent()
	got, receive := f.receive(t)
	f.announce(t, hello)
	await(t, got)
	receive.stop()
	goleak.VerifyNone(t, append(emulatortest.Leftovers(), before)...)
}
