package store

import (
	"context"
	"encoding/binary"
	"fmt"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/write"
)

// Result is the outcome of a commit.
type Result struct {
	Time   document.Time
	Writes []WriteResult
	Last   *document.Document // result of the last write; nil after a delete
}

// WriteResult is the outcome of one write. Update is zero after a delete.
type WriteResult struct {
	Update     document.Time
	Transforms []*pb.Value
}

// PendingCommit is a commit that is visible but may not be on disk yet.
type PendingCommit struct {
	Result
	store  *Store
	queued *queuedCommit
}

// Wait returns when the commit is on disk. If ctx ends first, or if the disk gets full, the commit still takes place.
func (p *PendingCommit) Wait(ctx context.Context) error { return p.queued.wait(ctx, p.store) }

func (c *queuedCommit) wait(ctx context.Context, s *Store) error {
	select {
	case <-c.done:
		return c.err
	default:
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.db.Full():
		return s.db.WaitingError()
	}
}

// CommitAsync applies all writes in order, or none of them, and makes them visible. It calls validate, if that is not
// nil, before the writes; no other commit takes place between the two. If the disk is full, it returns a
// *disk.FullError.
func (s *Store) CommitAsync(db name.Database, writes []write.Write, validate func(*View) error) (*PendingCommit, error) {
	apply := s.db.Write
	if len(writes) == 0 {
		apply = s.db.Run
	}
	committed := make(chan *PendingCommit, 1) // a channel, because commit may go on after apply has returned
	err := apply(func() error {
		p, err := s.commit(db, writes, validate)
		committed <- p
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-committed, nil
}

func (s *Store) commit(db name.Database, writes []write.Write, validate func(*View) error) (*PendingCommit, error) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	v := &View{reader: s.db, db: db}
	if validate != nil {
		if err := validate(v); err != nil {
			return nil, err
		}
	}
	now := s.reserveCommitTime()
	defer s.releaseCommitTime()
	c := commitBuilder{view: v, now: now, changes: map[string]*Change{}}
	result := Result{Time: now, Writes: make([]WriteResult, 0, len(writes))}
	for _, w := range writes {
		r, d, err := c.apply(w)
		if err != nil {
			return nil, err
		}
		result.Writes, result.Last = append(result.Writes, r), d
	}
	batch, changes, err := s.buildBatch(c)
	if err != nil {
		return nil, err
	}
	entry, err := s.applyBatch(Event{Time: now, Database: db, Changes: changes}, batch)
	if err != nil {
		return nil, err
	}
	return &PendingCommit{Result: result, store: s, queued: entry}, nil
}

// commitBuilder collects the changes of a commit before they are visible.
type commitBuilder struct {
	view    *View
	now     document.Time
	changes map[string]*Change
	order   []*Change
}

func (c *commitBuilder) apply(w write.Write) (WriteResult, *document.Document, error) {
	key := w.Path.String()
	d := c.changes[key]
	if d == nil {
		old, err := c.view.Get(w.Path)
		if err != nil {
			return WriteResult{}, nil, err
		}
		d = &Change{Path: w.Path, Old: old, New: old}
		c.changes[key] = d
		c.order = append(c.order, d)
	}
	next, transforms, err := w.Apply(d.New, c.now)
	if err != nil {
		return WriteResult{}, nil, err
	}
	d.New = next
	r := WriteResult{Transforms: transforms}
	if next != nil {
		r.Update = next.UpdateTime
	}
	return r, next, nil
}

// buildBatch returns a batch with the changes, the index entries and the history; nil if nothing changes.
func (s *Store) buildBatch(c commitBuilder) (*pebble.Batch, []Change, error) {
	var changes []Change
	batch := s.db.NewBatch()
	history := historyKey(c.view.db, c.now)
	for _, d := range c.order {
		if d.Old == d.New {
			continue
		}
		changes = append(changes, *d)
		if err := s.putChange(batch, c.view.db, history, d); err != nil {
			return nil, nil, err
		}
	}
	if len(changes) == 0 {
		return nil, nil, batch.Close()
	}
	err := batch.Set(clockKey, binary.BigEndian.AppendUint64(nil, uint64(c.now)), nil)
	return batch, changes, err
}

func (s *Store) putChange(batch *pebble.Batch, db name.Database, history []byte, d *Change) error {
	var before []byte
	if d.Old != nil {
		var err error
		if before, err = d.Old.Encode(); err != nil {
			return err
		}
	}
	key := name.AppendKey(name.AppendString(history[:len(history):len(history)], d.Path.Collection()), d.Path)
	if err := batch.Set(key, before, nil); err != nil {
		return err
	}
	if err := s.indexes.put(batch, db, d); err != nil {
		return err
	}
	if d.New == nil {
		return batch.Delete(documentKey(db, d.Path), nil)
	}
	record, err := d.New.Encode()
	if err != nil {
		return err
	}
	return batch.Set(documentKey(db, d.Path), record, nil)
}

// applyBatch makes a commit visible and queues it for the disk.
func (s *Store) applyBatch(event Event, batch *pebble.Batch) (*queuedCommit, error) {
	s.clock.lock()
	defer s.clock.unlock()
	s.inFlightTime = 0
	if batch != nil {
		if err := s.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
			return nil, fmt.Errorf("apply a commit: %w", err)
		}
	}
	s.latestTime = max(s.latestTime, event.Time)
	return s.syncQueue.push(event, batch), nil
}

// releaseCommitTime gives up the time of a commit that has failed. It does nothing after applyBatch.
func (s *Store) releaseCommitTime() {
	s.clock.lock()
	s.inFlightTime = 0
	s.clock.unlock()
}
