package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
	"github.com/airlock-run/airlock/internal/test/history"
)

// An executor that is killed anywhere on its way loses nothing and does nothing
// twice: another one begins where the store says.
func TestFaultExecutorKilled(t *testing.T) {
	t.Parallel()
	for point, attempts := range map[failpoint.Point]int{
		failpoint.Pulled:    1,
		failpoint.Claimed:   2,
		failpoint.Performed: 2,
		failpoint.Settled:   1,
		failpoint.Told:      1,
	} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 0)
			first := l.say("", "hello")
			second := l.say(first.ConversationId, "are you there?")
			doomed := l.executor(t, crashAt(point), "EXECUTOR_SLOTS=1")
			doomed.dies(t)
			another := l.executor(t)
			l.clock.Advance(pastAnnouncement)
			e := l.await(first.ExecutionId)
			require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
			require.Equal(t, attempts, e.Attempt)
			require.Equal(t, contract.StatusSucceeded, l.await(second.ExecutionId).Status)
			l.kept(another)
		})
	}
}

// The API is killed when work is stored and not announced: nobody was promised
// anything, and yet it runs once it is due.
func TestFaultAPIKilledBeforePublish(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	agent := l.echo()
	doomed := l.serve(t, crashAt(failpoint.Accepted))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.URL+"/agents/"+agent+"/run", strings.NewReader(`{"input":"hello"}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	_, err = http.DefaultClient.Do(req)
	require.Error(t, err, "there is no 202")
	doomed.dies(t)

	x := l.executor(t)
	l.serve(t)
	var list contract.ExecutionList
	l.call(http.MethodGet, "/executions", http.StatusOK, nil, &list)
	require.Len(t, list.Executions, 1)
	l.clock.Advance(pastAnnouncement)
	e := l.await(list.Executions[0].Id)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 1, e.Attempt)
	l.kept(x)
}

// A janitor is killed when it has put an execution right and not announced it.
func TestFaultJanitorKilled(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	l.api.pubsub.Set(faultproxy.Away)
	accepted := l.submit("one two")
	l.api.pubsub.Heal()
	doomed := l.executor(t, crashAt(failpoint.Swept))
	l.clock.Advance(pastAnnouncement)
	doomed.dies(t)
	another := l.executor(t)
	l.clock.Advance(2 * pastAnnouncement) // the second time it waits twice as long
	require.Equal(t, 1, l.await(accepted.ExecutionId).Attempt)
	l.kept(another)
}

// A feeder is killed when it has made executions and not announced them.
func TestFaultFeederKilled(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0, "BATCH_WINDOW=5")
	const total = 12
	b := l.batch(l.echo(), strings.Repeat(`"one two"`+"\n", total))
	l.recorder.Promised(history.Promise{Batch: b.Id})
	l.executor(t, crashAt(failpoint.Fed)).dies(t)
	another := l.executor(t)
	l.clock.Advance(pastAnnouncement)
	require.Equal(t, total, l.awaitBatch(b).Progress.Succeeded)
	l.kept(another)
}

// An executor is stopped when its job has ended, and goes on when another has
// the execution: nothing that it does has an effect.
func TestFaultExecutorComesBackAfterItsLease(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	accepted := l.submit("one two")
	stopped := l.executor(t, stopAt(failpoint.Performed))
	l.awaitStopped(stopped)
	l.clock.Advance(pastLease)
	another := l.executor(t)
	e := l.await(accepted.ExecutionId)
	require.Equal(t, 2, e.Attempt)
	require.NoError(t, stopped.Process.Signal(syscall.SIGCONT))
	// It may take another's end for its own, where its first try was not answered; that is only said, not written.
	stopped.await(t, `(lease lost|could not write how the execution ended|"msg":"settled")`)
	require.Equal(t, e, l.get(accepted.ExecutionId))
	l.kept(another, stopped)
}

// What is shipped has no crash points.
func TestFaultShippedPrograms(t *testing.T) {
	t.Parallel()
	shipped, err := programs()
	require.NoError(t, err)
	spoilt, err := crashing()
	require.NoError(t, err)
	name, _, _ := strings.Cut(crashAt(""), "=")
	for _, program := range []string{"airlock", "api", "executor"} {
		clean, err := os.ReadFile(filepath.Join(shipped, program))
		require.NoError(t, err)
		require.False(t, bytes.Contains(clean, []byte(name)), program)
	}
	marked, err := os.ReadFile(filepath.Join(spoilt, "executor"))
	require.NoError(t, err)
	require.True(t, bytes.Contains(marked, []byte(name)), "this test looks for the right thing")
}
