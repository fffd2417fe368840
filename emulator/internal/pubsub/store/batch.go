package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

// Batch is a set of changes that take effect together or not at all. One goroutine fills it and then calls
// Store.Commit, Store.CommitNoSync, Discard, or Store.CommitAsync and Wait. It cannot be used again.
//
// While the disk is full, a commit and Wait return a *disk.FullError. If it is Waiting, the batch takes effect when
// there is space.
type Batch struct {
	db     *disk.DB
	b      *pebble.Batch
	err    error      // the first error of a change
	synced chan error // receives the result of the sync
}

// NewBatch returns an empty batch.
func (s *Store) NewBatch() *Batch { return &Batch{db: s.db, b: s.db.NewBatch()} }

// Empty reports whether the batch has no changes.
func (b *Batch) Empty() bool { return b.b.Empty() }

func (b *Batch) put(key, value []byte, err error) {
	if err == nil {
		err = b.b.Set(key, value, nil)
	}
	b.setErr(err)
}

func (b *Batch) delete(key []byte) { b.setErr(b.b.Delete(key, nil)) }

func (b *Batch) setErr(err error) {
	if b.err == nil {
		b.err = err
	}
}

// PutTopic stores the topic.
func (b *Batch) PutTopic(t Topic) {
	v, err := t.encode()
	b.put(nameKey(topicSpace, t.Config.Name), v, err)
}

// DeleteTopic deletes the topic but not its messages.
func (b *Batch) DeleteTopic(name string) { b.delete(nameKey(topicSpace, name)) }

// PutSubscription stores the subscription.
func (b *Batch) PutSubscription(s Subscription) {
	v, err := s.encode()
	b.put(nameKey(subSpace, s.Config.Name), v, err)
}

// DeleteSubscription deletes the subscription but not its entries.
func (b *Batch) DeleteSubscription(name string, id uint64) {
	b.delete(nameKey(subSpace, name))
	b.delete(numberKey(lastUsedSpace, id))
}

// PutLastUsed stores when the subscription was last used.
func (b *Batch) PutLastUsed(sub uint64, t time.Time) {
	b.put(numberKey(lastUsedSpace, sub), binary.AppendVarint(nil, t.UnixMicro()), nil)
}

// PutSnapshot stores the snapshot.
func (b *Batch) PutSnapshot(s Snapshot) {
	v, err := s.encode()
	b.put(nameKey(snapshotSpace, s.Config.Name), v, err)
}

// DeleteSnapshot deletes the snapshot but not the messages that only the snapshot needed.
func (b *Batch) DeleteSnapshot(name string) { b.delete(nameKey(snapshotSpace, name)) }

// PutMessage stores the body of a message of the topic.
func (b *Batch) PutMessage(seq, topic uint64, body proto.Message) {
	v := binary.AppendUvarint(make([]byte, 0, 16+proto.Size(body)), topic)
	v, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(v, body)
	b.put(numberKey(messageSpace, seq), v, err)
}

// DeleteMessage deletes the body of a message that nothing refers to any more.
func (b *Batch) DeleteMessage(seq uint64) { b.delete(numberKey(messageSpace, seq)) }

// PutEntry stores the state of a message in the subscription.
func (b *Batch) PutEntry(sub uint64, e Entry) {
	b.put(numberKey(entrySpace, sub, e.Seq), e.encode(), nil)
}

// DeleteEntry removes a message from the subscription.
func (b *Batch) DeleteEntry(sub, seq uint64) { b.delete(numberKey(entrySpace, sub, seq)) }

// DeleteEntries deletes all entries of the subscription.
func (b *Batch) DeleteEntries(sub uint64) {
	r := keyrange.WithPrefix(numberKey(entrySpace, sub))
	b.setErr(b.b.DeleteRange(r.Lower, r.Upper, nil))
}

// Commit returns when the batch is on disk.
func (s *Store) Commit(b *Batch) error {
	if err := s.CommitAsync(b); err != nil {
		return err
	}
	return b.Wait()
}

// CommitNoSync returns when the batch can be read. A crash may lose it, together with all later batches.
func (s *Store) CommitNoSync(b *Batch) error {
	defer b.b.Close()
	if b.err != nil {
		return b.err
	}
	// Batch.apply would cost a goroutine for each acknowledgement.
	select {
	case <-s.db.Full():
		return fmt.Errorf("write: %w", s.db.WaitingError())
	default:
	}
	if err := s.db.Apply(b.b, pebble.NoSync); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// CommitAsync makes the batch readable and starts to write it to disk. Batches reach the disk in the order of these
// calls. Unless it fails, the caller must call Wait.
func (s *Store) CommitAsync(b *Batch) error {
	return b.apply(func() error { return s.db.ApplyNoSyncWait(b.b, pebble.Sync) })
}

// apply calls write. If the disk gets full, it does not wait for it.
func (b *Batch) apply(write func() error) error {
	if b.err != nil {
		b.b.Close()
		return b.err
	}
	if b.Empty() { // needs no space
		return write()
	}
	if err := b.db.Write(write); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// Wait returns when the batch, and every batch committed before it, is on disk. After a *disk.FullError, WaitForSpace
// does the same.
func (b *Batch) Wait() error {
	b.synced = make(chan error, 1)
	go func() {
		err := b.b.SyncWait()
		b.b.Close()
		b.synced <- err
	}()
	select {
	case err := <-b.synced:
		return syncError(err)
	case <-b.db.Full():
		return syncError(b.db.WaitingError())
	}
}

// WaitForSpace returns when the batch is on disk, however long the disk is full.
func (b *Batch) WaitForSpace() error { return syncError(<-b.synced) }

func syncError(err error) error {
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// Discard drops a batch that will not be committed.
func (b *Batch) Discard() { b.setErr(b.b.Close()) }
