package executor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// A part of a transcript is stored when it has partBytes, or partInterval after the part before. So an executor that
	// is killed loses what its agents did in that time.
	partBytes    = 1 << 20
	partInterval = 5 * time.Second
	// maxPendingBytes bounds what waits in memory while storage is slow. What follows is not recorded.
	maxPendingBytes = 3 << 20
	// transcriptEndTimeout bounds the write of the last part.
	transcriptEndTimeout = 10 * time.Second
)

// transcriptWriter writes the transcript of one attempt, in parts, while its job runs. A transcript that cannot be
// stored does not fail the attempt. It is safe for concurrent use.
type transcriptWriter struct {
	store   ArtifactStore
	ref     execution.Ref
	attempt int
	live    func() bool // the attempt may still write
	log     *zap.Logger
	full    chan struct{} // receives when there is a whole part

	mu      sync.Mutex
	pending []byte // encoded items that are not stored
	items   int    // recorded
	size    int64  // of all recorded items, encoded
	missing int    // items since the last recorded one that were not recorded

	parts  int   // stored; only the writing goroutine uses it
	stored int64 // bytes; the same
}

func newTranscriptWriter(a *attempt) *transcriptWriter {
	return &transcriptWriter{
		store: a.executor.config.Artifacts, ref: a.execution.Ref(), attempt: a.execution.Attempt, live: a.session.Live, log: a.log,
		full: make(chan struct{}, 1),
	}
}

// add records an item. It does not block.
func (w *transcriptWriter) add(i transcript.Item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i.Kind != transcript.KindEnd && (len(w.pending) > maxPendingBytes || w.size > transcript.MaxBytes) {
		w.missing++
		return
	}
	if w.missing > 0 {
		text := fmt.Sprintf("%d items are missing here: a transcript has at most %d MiB, and what comes faster than it can be stored is not recorded.",
			w.missing, transcript.MaxBytes>>20)
		w.missing = 0
		w.record(transcript.Item{Kind: transcript.KindNotice, Text: text})
	}
	w.record(i)
	if len(w.pending) >= partBytes {
		select {
		case w.full <- struct{}{}:
		default:
		}
	}
}

func (w *transcriptWriter) record(i transcript.Item) {
	w.items++
	i.Number, i.Attempt, i.Time = w.items, w.attempt, time.Now().UTC().Truncate(time.Millisecond)
	line := transcript.Encode(i)
	w.pending = append(w.pending, line...)
	w.size += int64(len(line))
}

// run stores parts until ctx ends.
func (w *transcriptWriter) run(ctx context.Context) {
	ticker := time.NewTicker(partInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.full:
		case <-ticker.C:
		}
		w.flush(ctx)
	}
}

// flush stores what is pending. It repeats a failed write until ctx ends; then it stays pending.
func (w *transcriptWriter) flush(ctx context.Context) {
	defer supervise.RecoverLog(w.log, "transcript writer panicked")
	w.mu.Lock()
	text := w.pending
	w.mu.Unlock()
	if len(text) == 0 || !w.live() {
		return
	}
	part := blob.TranscriptPart{Attempt: w.attempt, Number: w.parts + 1, Offset: w.stored, Size: int64(len(text))}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if !w.live() { // the transcript may be deleted meanwhile
			return struct{}{}, backoff.Permanent(execution.ErrLeaseLost)
		}
		return struct{}{}, w.store.PutTranscriptPart(ctx, w.ref, part, text)
	}, backoff.WithMaxElapsedTime(0))
	if err != nil {
		w.log.Warn("could not store a part of the transcript", zap.Int("part", part.Number), zap.Error(err))
		return
	}
	w.parts, w.stored = part.Number, part.Offset+part.Size
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = slices.Clone(w.pending[len(text):])
}

// recordItem records what the agent said or did: in the transcript, and as a step for those who watch.
func (a *attempt) recordItem(i transcript.Item) {
	a.transcript.add(i)
	a.spans.record(i)
	if kind, text := stepOf(i); kind != "" {
		a.steps.add(kind, text)
	}
	a.steps.addToolItem(i)
}

// beginTranscript starts the writer. end must be called with the event that ends the attempt: it stores the rest.
func (a *attempt) beginTranscript(ctx context.Context) {
	a.transcript = newTranscriptWriter(a)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.transcript.run(ctx)
	}()
	a.stopTranscript = sync.OnceFunc(func() {
		cancel()
		<-done
	})
}

// endTranscript stores the rest of the transcript, with how the attempt has ended.
func (a *attempt) endTranscript(ctx context.Context, event execution.Event) {
	a.stopTranscript()
	if a.transcript.items == 0 && !a.began() {
		return // no agent ran
	}
	a.transcript.add(transcript.Item{Kind: transcript.KindEnd, Text: endText(event)})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), transcriptEndTimeout)
	defer cancel()
	a.transcript.flush(ctx)
}

func endText(event execution.Event) string {
	switch ev := event.(type) {
	case execution.JobEnded:
		if f := ev.Ending.Failure; f != nil {
			return fmt.Sprintf("%s: %s", f.Code, f.Message)
		}
		return string(ev.Ending.Status)
	case execution.HandedBack:
		return "The executor shuts down. The execution runs again."
	default:
		return "Airlock failed. The execution runs again, unless it has failed too often."
	}
}
