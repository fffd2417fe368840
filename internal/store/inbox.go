package store

import (
	"context"
	"maps"
	"sync"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/signal"
)

// SendSignals puts each signal into the inbox of its process (To), all in one commit. Signals to a process that has
// opened its inbox at this Store are delivered in memory instead, without a write. ID, At and Expires are set here.
//
// A signal only wakes somebody, so a caller logs an error and continues.
func (s *Store) SendSignals(ctx context.Context, signals ...signal.Signal) error {
	out := s.newOutbox(signals)
	out.local.deliver()
	if len(out.remote) == 0 {
		return nil
	}
	batch := s.newCommit()
	out.addTo(s, batch)
	_, err := batch.Commit(ctx)
	return translateCommitError(err)
}

// newCommit returns a batch of writes that are committed together, without a read. Set and Create get names that were
// chosen before, so a commit that Google's client sends again changes nothing.
func (s *Store) newCommit() *commit { return s.client.Batch() } //nolint:staticcheck // see commit

// commit is deprecated for BulkWriter, which is not atomic, and for transactions, which need another call.
type commit = firestore.WriteBatch //nolint:staticcheck // see above

// signalDoc returns the document of a signal, and completes the signal. The machine's clock decides only when a signal
// that nobody receives is deleted.
func (s *Store) signalDoc(sig *signal.Signal) *firestore.DocumentRef {
	sig.At, sig.Expires = time.Time{}, time.Now().Add(signal.TTL)
	return s.inboxItems(sig.To).Doc(id.New(""))
}

// openInboxes has the inboxes that this Store receives itself.
type openInboxes struct {
	mu        sync.RWMutex
	receivers map[string]func(signal.Signal) // by process
}

// localSignals are signals to processes that receive them in memory.
type localSignals []func()

func (l localSignals) deliver() {
	for _, deliver := range l {
		deliver()
	}
}

// has reports whether this Store receives the signals to a process.
func (o *openInboxes) has(process string) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.receivers[process] != nil
}

// split divides signals into those that are delivered in memory and those that must be written.
func (o *openInboxes) split(signals []signal.Signal) (local localSignals, remote []signal.Signal) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for _, sig := range signals {
		if receive := o.receivers[sig.To]; receive != nil {
			sig.At = time.Now()
			local = append(local, func() { receive(sig) })
		} else if sig.To != "" {
			remote = append(remote, sig)
		}
	}
	return local, remote
}

// Inbox receives the signals to one process.
type Inbox struct {
	store    *Store
	process  string
	onSignal func(signal.Signal)

	since time.Time            // the next listener asks for signals from here on
	seen  map[string]time.Time // the times of the received signals since then, by ID
}

// OpenInbox returns the inbox of a process. From now on the signals that this Store sends to the process are delivered
// in memory. onSignal may be called concurrently, also by the goroutine that sends the signal, so it must not block.
func (s *Store) OpenInbox(process string, onSignal func(signal.Signal)) *Inbox {
	s.inboxes.mu.Lock()
	defer s.inboxes.mu.Unlock()
	if s.inboxes.receivers == nil {
		s.inboxes.receivers = map[string]func(signal.Signal){}
	}
	s.inboxes.receivers[process] = onSignal
	return &Inbox{store: s, process: process, onSignal: onSignal, seen: map[string]time.Time{}}
}

const (
	// renewListenerAfter is the number of signals after which a new listener begins: Google's client keeps every document
	// of a listener in memory.
	renewListenerAfter = 500
	// listenerOverlap is how far a new listener looks back behind the newest signal. A signal gets its time when its
	// commit begins, so it may appear behind a later one.
	listenerOverlap = 5 * time.Second
)

// Receive passes every signal to onSignal, once, until ctx ends, with one listener at a time. After an error the caller
// calls it again: it continues where it stopped, so no signal is lost. It must not be called concurrently.
func (i *Inbox) Receive(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := i.listen(ctx); err != nil && ctx.Err() == nil {
			return translateError(err)
		}
	}
	return nil
}

// listen receives with one listener until it has enough documents.
func (i *Inbox) listen(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx) // it ends the stream of the listener
	defer cancel()
	maps.DeleteFunc(i.seen, func(_ string, at time.Time) bool { return at.Before(i.since) })
	it := i.store.inboxItems(i.process).Where("at", ">=", i.since).OrderBy("at", firestore.Asc).Snapshots(ctx)
	defer it.Stop()
	added, repeated := 0, 0
	// Each listener reads the overlap again, which must stay a small part of all reads.
	for added < renewListenerAfter+4*repeated {
		snap, err := it.Next()
		if err != nil {
			return err
		}
		for _, change := range snap.Changes {
			if change.Kind != firestore.DocumentAdded {
				continue // it was deleted because it is old
			}
			added++
			if !i.receive(change.Doc) {
				repeated++
			}
		}
	}
	return nil
}

// receive passes a signal on, unless it is a repeated one. It skips a document that it cannot decode: a signal that is
// lost only costs time.
func (i *Inbox) receive(snap *firestore.DocumentSnapshot) (isNew bool) {
	if _, repeated := i.seen[snap.Ref.ID]; repeated {
		return false
	}
	var sig signal.Signal
	if err := snap.DataTo(&sig); err != nil {
		return true
	}
	i.seen[snap.Ref.ID] = sig.At
	if since := sig.At.Add(-listenerOverlap); since.After(i.since) {
		i.since = since
	}
	sig.ID, sig.To = snap.Ref.ID, i.process
	i.onSignal(sig)
	return true
}
