package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// says prints what an agent says.
func says(job sandbox.Job, text string) {
	job.OnStdout(fmt.Appendf(nil, `{"type":"assistant","message":{"content":[{"type":"text","text":%q}]}}`+"\n", text))
}

// transcriptOf returns the stored transcript of an execution.
func transcriptOf(t *testing.T, blobs *blob.Store, ref execution.Ref) (items []transcript.Item) {
	t.Helper()
	r, err := blobs.Transcript(context.Background(), ref)
	require.NoError(t, err)
	for d := json.NewDecoder(r); ; {
		var i transcript.Item
		err := d.Decode(&i)
		if errors.Is(err, io.EOF) {
			return items
		}
		require.NoError(t, err)
		items = append(items, i)
	}
}

func texts(items []transcript.Item) (texts []string) {
	for _, i := range items {
		texts = append(texts, fmt.Sprintf("%d.%d %s: %s", i.Attempt, i.Number, i.Kind, i.Text))
	}
	return texts
}

func TestTranscriptOfExecution(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	f.run(configWithArtifacts(blobs), newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		says(job, "I read the file. Its key is sk-ant-"+strings.Repeat("a", 30)+".")
		return successOutcome("done"), nil
	}))
	before := time.Now().Add(-time.Second)
	ref := f.submit("offline", "x")
	f.await(ref, execution.Succeeded)
	items := transcriptOf(t, blobs, ref)
	require.Equal(t, []string{"1.1 text: I read the file. Its key is sk-ant-[masked].", "1.2 end: succeeded"}, texts(items))
	require.WithinRange(t, items[0].Time, before, time.Now())
}

// A part is stored while the job runs, as soon as it is full. Each attempt has its own items.
func TestTranscriptIsStoredWhileTheJobRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	var jobs atomic.Int64
	said, gate := make(chan struct{}), make(chan struct{})
	f.run(configWithArtifacts(blobs), newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		if jobs.Add(1) == 2 {
			says(job, "the second attempt")
			return successOutcome("done"), nil
		}
		for range partBytes/transcript.MaxFieldBytes + 1 {
			says(job, strings.Repeat("x", transcript.MaxFieldBytes+1))
		}
		close(said)
		<-gate
		o := successOutcome("")
		o.Record.Times.AgentStarted = time.Now()
		return sandbox.Outcome{Record: o.Record}, errors.New("the Engine died")
	}))
	ref := f.submit("offline", "x")
	next(t, said)
	require.Eventually(t, func() bool { return len(transcriptOf(t, blobs, ref)) >= partBytes/transcript.MaxFieldBytes }, waitTimeout, pollInterval)
	require.True(t, transcriptOf(t, blobs, ref)[0].Truncated)
	close(gate)
	require.Eventually(t, func() bool { e := f.stored(ref); return e.Attempt == 1 && e.Status == execution.Queued }, waitTimeout, pollInterval)
	f.clock.Advance(time.Minute)
	ch, err := f.store.Apply(t.Context(), ref, execution.Overdue{})
	require.NoError(t, err)
	require.NoError(t, f.queue.Publish(t.Context(), ch))
	f.await(ref, execution.Succeeded)
	items := transcriptOf(t, blobs, ref)
	require.Equal(t, []string{
		"1.18 end: Airlock failed. The execution runs again, unless it has failed too often.",
		"2.1 text: the second attempt", "2.2 end: succeeded",
	}, texts(items[len(items)-3:]))
}

// flakyTranscripts fails some times, and then stores.
type flakyTranscripts struct {
	*blob.Store
	failures atomic.Int64
}

func (s *flakyTranscripts) PutTranscriptPart(ctx context.Context, ref execution.Ref, p blob.TranscriptPart, text []byte) error {
	if s.failures.Add(-1) >= 0 {
		return blob.ErrUnavailable
	}
	return s.Store.PutTranscriptPart(ctx, ref, p, text)
}

func TestTranscriptIsWrittenAgainAfterAnError(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := &flakyTranscripts{Store: openArtifactStore(t)}
	blobs.failures.Store(2)
	f.run(configWithArtifacts(blobs), newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		says(job, "hello")
		return successOutcome("done"), nil
	}))
	ref := f.submit("offline", "x")
	f.await(ref, execution.Succeeded)
	require.Equal(t, []string{"1.1 text: hello", "1.2 end: succeeded"}, texts(transcriptOf(t, blobs.Store, ref)))
}

// An attempt that loses its lease while storage fails writes no more: the transcript may be deleted by then.
func TestTranscriptIsNotWrittenAgainWithoutLease(t *testing.T) {
	t.Parallel()
	blobs := &flakyTranscripts{Store: openArtifactStore(t)}
	blobs.failures.Store(1)
	ref := execution.Ref{Tenant: "ada", ID: "exe_1"}
	live := func() bool { return blobs.failures.Load() > 0 } // until the first write has failed
	w := &transcriptWriter{store: blobs, ref: ref, attempt: 1, live: live, log: newFixture(t).log, full: make(chan struct{}, 1)}
	w.add(transcript.Item{Kind: transcript.KindText, Text: "hello"})
	w.flush(t.Context())
	require.Zero(t, blobs.failures.Load(), "it was written once")
	require.Empty(t, transcriptOf(t, blobs.Store, ref))
}

// The installation's setting reaches the execution by the claim.
func TestTranscriptRetentionOfInstallation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := testConfig()
	c.TranscriptRetention = new(time.Hour)
	f.run(c, newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) { return successOutcome("done"), nil }))
	ref := f.submit("offline", "x")
	f.await(ref, execution.Succeeded)
	e := f.stored(ref)
	require.Equal(t, e.FinishedAt.Add(time.Hour), *e.TranscriptExpiresAt)
}

// What comes faster than it can be stored is not recorded, and the transcript says so. It never waits for storage.
func TestTranscriptIsBounded(t *testing.T) {
	t.Parallel()
	blobs := openArtifactStore(t)
	ref := execution.Ref{Tenant: "ada", ID: "exe_1"}
	w := &transcriptWriter{store: blobs, ref: ref, attempt: 1, live: func() bool { return true }, log: newFixture(t).log, full: make(chan struct{}, 1)}
	long := strings.Repeat("x", transcript.MaxFieldBytes)
	for range 2 * maxPendingBytes / transcript.MaxFieldBytes {
		w.add(transcript.Item{Kind: transcript.KindText, Text: long})
	}
	require.LessOrEqual(t, len(w.pending), maxPendingBytes+2*transcript.MaxFieldBytes)
	w.flush(t.Context())
	w.add(transcript.Item{Kind: transcript.KindText, Text: "later"})
	w.add(transcript.Item{Kind: transcript.KindEnd})
	w.flush(t.Context())
	items := transcriptOf(t, blobs, ref)
	last := texts(items[len(items)-3:])
	require.Contains(t, last[0], "notice: 48 items are missing here")
	require.Contains(t, last[1], "text: later")

	w.live = func() bool { return false }
	w.add(transcript.Item{Kind: transcript.KindText, Text: "after the lease"})
	w.flush(t.Context())
	require.Len(t, transcriptOf(t, blobs, ref), len(items), "an attempt without a lease writes nothing")

	w.live, w.size = func() bool { return true }, transcript.MaxBytes+1
	w.add(transcript.Item{Kind: transcript.KindText, Text: "too much"})
	require.NotContains(t, string(w.pending), "too much")
}
