package queue

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/airlock-run/airlock/internal/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/execution"
)

func TestWhatIsToldIsReceivedOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	got, receive := f.receive(t, 4)
	var told, received []execution.Ref
	for i := range 20 {
		ref := execution.Ref{Owner: fmt.Sprint("tenant", i%3), ID: fmt.Sprint("exe_", i)}
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
	got, _ := f.receive(t, 4)
	f.announce(t)
	refs := []execution.Ref{{Owner: "ada", ID: "exe_1"}, {Owner: "ada", ID: "exe_2"}}
	f.announce(t, refs...)
	require.ElementsMatch(t, refs, []execution.Ref{await(t, got), await(t, got)})
}

// What names no execution can never be looked at: it must not come again and again.
func TestRubbishIsDropped(t *testing.T) {
	t.Parallel()
	f := start(t)
	rubbish := []string{"rubbish", "null", "[]", `{"owner":1}`, `{"owner":"ada"}`, `{"executionId":"exe_1"}`, `{"owner":"","executionId":""}`, "\xff\xfe"}
	for _, data := range rubbish {
		f.publish(t, laneTopic(execution.Interactive), data)
	}
	f.announce(t, hello)
	got, receive := f.receive(t, 1)
	require.Equal(t, hello, await(t, got), "it is not held up by rubbish")
	require.Eventually(t, func() bool { return int(f.acked.Load()) == len(rubbish)+1 }, patience, tick, "all of it is acknowledged")
	receive.stop()
	require.Empty(t, got)
}

func TestAHandlerThatCouldNotLookIsAskedAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.announce(t, hello)
	looked := make(chan time.Time, 10)
	var looks atomic.Int32
	during(t, func(ctx context.Context) error {
		return f.Receive(ctx, ctx, execution.Interactive, 4, func(context.Context, execution.Ref) error {
			looked <- time.Now()
			if looks.Add(1) == 1 {
				return errors.New("could not look")
			}
			return nil
		})
	})
	first, second := await(t, looked), await(t, looked)
	require.Greater(t, second.Sub(first), 500*time.Millisecond, "after a back-off")
	require.Eventually(t, func() bool { return f.acked.Load() == 1 }, patience, tick)
}

func TestSlotsAreNeverExceeded(t *testing.T) {
	t.Parallel()
	f := start(t)
	const slots, jobs = 3, 12
	var inside, most atomic.Int32
	entered, leave := make(chan struct{}, jobs), make(chan struct{})
	during(t, func(ctx context.Context) error {
		return f.Receive(ctx, ctx, execution.Interactive, slots, func(context.Context, execution.Ref) error {
			now := inside.Add(1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			entered <- struct{}{}
			<-leave
			inside.Add(-1)
			return nil
		})
	})
	for i := range jobs {
		f.announce(t, execution.Ref{Owner: "ada", ID: fmt.Sprint(i)})
	}
	for range slots {
		await(t, entered)
	}
	for range jobs - slots {
		leave <- struct{}{} // one out, one in
		await(t, entered)
	}
	for range slots {
		leave <- struct{}{}
	}
	require.EqualValues(t, slots, most.Load())
}

// An executor that has no free slot leaves the rest to others.
func TestWhatHasNoSlotGoesToAnother(t *testing.T) {
	t.Parallel()
	f := start(t)
	release := make(chan struct{})
	busy := make(chan struct{}, 10)
	during(t, func(ctx context.Context) error {
		return f.Receive(ctx, ctx, execution.Interactive, 1, func(context.Context, execution.Ref) error { busy <- struct{}{}; <-release; return nil })
	})
	defer close(release)
	f.announce(t, hello)
	await(t, busy)
	free, _ := f.receive(t, 1)
	for i := range 5 {
		ref := execution.Ref{Owner: "ada", ID: fmt.Sprint(i)}
		f.announce(t, ref)
		require.Equal(t, ref, await(t, free))
	}
}

// When it is told to stop, Receive takes no more, and waits for the handlers in
// flight, whose context goes on.
func TestReceiveWaitsForItsHandlers(t *testing.T) {
	t.Parallel()
	f := start(t)
	work, stopWork := context.WithCancel(context.Background())
	defer stopWork()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	entered, release := make(chan context.Context, 10), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- f.Receive(ctx, work, execution.Interactive, 1, func(ctx context.Context, _ execution.Ref) error { entered <- ctx; <-release; return nil })
	}()
	f.announce(t, hello)
	handler := await(t, entered)
	stop()
	second := execution.Ref{Owner: "ada", ID: "exe_2"}
	f.announce(t, second)
	require.NoError(t, handler.Err())
	require.Empty(t, ended, "a handler is still at work")
	stopWork()
	require.Error(t, handler.Err(), "the handler's context is work")
	close(release)
	require.NoError(t, await(t, ended))
	require.Empty(t, entered, "nothing is begun after the stop")
	got, _ := f.receive(t, 1)
	require.Equal(t, second, await(t, got), "the rest is free for another at once")
}

// Without its subscription there is an error rather than silence.
func TestReceiveWithoutEnsure(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	other := New(f.pubsub.Client)
	defer other.Close()
	require.NoError(t, f.drop(ctx))
	err := other.Receive(ctx, ctx, execution.Interactive, 1, func(context.Context, execution.Ref) error { return nil })
	require.Error(t, err)
	require.NoError(t, ctx.Err(), "at once")
}

func TestReceiveLeavesNoGoroutines(t *testing.T) {
	f := start(t)
	before := goleak.IgnoreCurrent()
	got, receive := f.receive(t, 4)
	f.announce(t, hello)
	await(t, got)
	receive.stop()
	goleak.VerifyNone(t, append(emulatortest.Leftovers(), before)...)
}
