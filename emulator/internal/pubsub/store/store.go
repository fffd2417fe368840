// Package store keeps topics, subscriptions, snapshots and messages on disk.
//
// It receives batches of changes and returns the stored records, also after a crash. It stores the body of a message
// once, even if many subscriptions wait for it. Each of these subscriptions has an entry of a few bytes, which is
// deleted when the message is acknowledged. The package does not decide about delivery.
package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

// Store is one data folder. It is safe for concurrent use.
type Store struct {
	db *disk.DB

	// Epoch counts how often the folder was opened. IDs that contain it are unique, even if a crash lost the
	// newest records.
	Epoch uint64
}

// Open opens the folder, or a store in memory if dir is "". The caller closes the store.
func Open(dir string, log *zap.Logger) (*Store, error) {
	db, err := openDB(dir, log)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db}
	if err := s.incrementEpoch(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// CheckSpace returns a *disk.FullError if the disk is full. A caller who changes state in memory before a commit calls
// it first.
func (s *Store) CheckSpace() error { return s.db.CheckSpace() }

// Close flushes and unlocks the folder. No other call may be active.
func (s *Store) Close() error {
	flushErr := s.db.Write(s.db.Flush)
	if _, full := errors.AsType[*disk.FullError](flushErr); full {
		flushErr = nil // the next start reads the log
	}
	return errors.Join(flushErr, s.db.Close())
}

func (s *Store) incrementEpoch() error {
	v, closer, err := s.db.Get([]byte{epochKey})
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return fmt.Errorf("read epoch: %w", err)
	default:
		r := decoder{rest: v}
		s.Epoch = r.uvarint()
		if err := errors.Join(r.err, closer.Close()); err != nil {
			return fmt.Errorf("read epoch: %w", err)
		}
	}
	s.Epoch++
	v = binary.AppendUvarint(nil, s.Epoch)
	if err := s.db.Write(func() error { return s.db.Set([]byte{epochKey}, v, pebble.Sync) }); err != nil {
		return fmt.Errorf("write epoch: %w", err)
	}
	return nil
}

// MessagesBySeq calls f for those of the given messages that are stored. The numbers must ascend. One call for many
// messages costs little more than a call for one.
func (s *Store) MessagesBySeq(seqs []uint64, f func(seq uint64, m *pubsubpb.PubsubMessage)) error {
	it, err := s.iterator([]byte{messageSpace})
	if err != nil {
		return fmt.Errorf("read messages: %w", err)
	}
	for _, seq := range seqs {
		key := numberKey(messageSpace, seq)
		if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
			continue
		}
		m, err := messageAt(it)
		if err != nil {
			return errors.Join(fmt.Errorf("read message %d: %w", seq, err), it.Close())
		}
		f(seq, m)
	}
	return errors.Join(it.Error(), it.Close())
}

func messageAt(it *pebble.Iterator) (*pubsubpb.PubsubMessage, error) {
	v, err := it.ValueAndErr()
	if err != nil {
		return nil, err
	}
	_, m, err := decodeMessage(v)
	return m, err
}

// Topics calls f for every topic, ordered by name.
func (s *Store) Topics(f func(Topic) error) error {
	return scanRecords(s, topicSpace, decodeTopic, f)
}

// Subscriptions calls f for every subscription, ordered by name.
func (s *Store) Subscriptions(f func(Subscription) error) error {
	return scanRecords(s, subSpace, decodeSubscription, f)
}

// Snapshots calls f for every snapshot, ordered by name.
func (s *Store) Snapshots(f func(Snapshot) error) error {
	return scanRecords(s, snapshotSpace, decodeSnapshot, f)
}

// Entries calls f for every entry of the subscription, in the order of publishing.
func (s *Store) Entries(sub uint64, f func(Entry) error) error {
	return s.scan(numberKey(entrySpace, sub), func(k, v []byte) error {
		if len(k) != 17 {
			return ErrCorrupt
		}
		e, err := decodeEntry(v)
		if err != nil {
			return err
		}
		e.Seq = binary.BigEndian.Uint64(k[9:])
		return f(e)
	})
}

// Messages calls f for every stored message, in the order of publishing. The function body decodes the message, so
// that a caller who needs only its number does not pay for that.
func (s *Store) Messages(f func(seq uint64, body func() (topic uint64, m *pubsubpb.PubsubMessage, err error)) error) error {
	return s.scan([]byte{messageSpace}, func(k, v []byte) error {
		if len(k) != 9 {
			return ErrCorrupt
		}
		return f(binary.BigEndian.Uint64(k[1:]), func() (uint64, *pubsubpb.PubsubMessage, error) {
			return decodeMessage(v)
		})
	})
}

// LastUsed returns when the subscription was last used; the zero time if that was never stored.
func (s *Store) LastUsed(sub uint64) (time.Time, error) {
	v, closer, err := s.db.Get(numberKey(lastUsedSpace, sub))
	if errors.Is(err, pebble.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read last-used time: %w", err)
	}
	r := decoder{rest: v}
	t := time.UnixMicro(r.varint())
	return t, errors.Join(r.err, closer.Close())
}

func scanRecords[T any](s *Store, space byte, decode func([]byte) (T, error), f func(T) error) error {
	return s.scan([]byte{space}, func(_, v []byte) error {
		record, err := decode(v)
		if err != nil {
			return err
		}
		return f(record)
	})
}

func (s *Store) scan(prefix []byte, f func(k, v []byte) error) error {
	it, err := s.iterator(prefix)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err == nil {
			err = f(it.Key(), v)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("record %q: %w", it.Key(), err), it.Close())
		}
	}
	return errors.Join(it.Error(), it.Close())
}

func (s *Store) iterator(prefix []byte) (*pebble.Iterator, error) {
	r := keyrange.WithPrefix(prefix)
	return s.db.NewIter(&pebble.IterOptions{LowerBound: r.Lower, UpperBound: r.Upper})
}
