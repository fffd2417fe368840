// Package store keeps topics, subscriptions, snapshots and messages on disk.
// A body is stored once however many subscriptions wait for it; each of them
// has an entry of a few bytes, deleted when the message is acknowledged.
package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/cockroachdb/pebble/v2"
)

// Store is one data directory. It is safe for use by several goroutines.
type Store struct {
	db *pebble.DB

	// Epoch counts how often the directory was opened. Numbers made from it
	// were never used before, whatever was lost in a crash.
	Epoch uint64
}

// Open opens the directory, or a store in memory if dir is "". The caller owns
// the store and closes it.
func Open(dir string) (*Store, error) {
	db, err := openDB(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db}
	if err := s.incrementEpoch(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// Close flushes and releases the directory. No call may be under way.
func (s *Store) Close() error {
	return errors.Join(s.db.Flush(), s.db.Close())
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
	if err := s.db.Set([]byte{epochKey}, v, pebble.Sync); err != nil {
		return fmt.Errorf("write epoch: %w", err)
	}
	return nil
}

func decodeMessage(b []byte) (topic uint64, m *pubsubpb.PubsubMessage, err error) {
	r := decoder{rest: b}
	topic, m = r.uvarint(), new(pubsubpb.PubsubMessage)
	return topic, m, r.message(m)
}

// Bodies calls f for the messages of the given numbers, which ascend, that are
// stored. Many in one call cost little more than one.
func (s *Store) MessagesBySeq(seqs []uint64, f func(seq uint64, m *pubsubpb.PubsubMessage)) error {
	from, to := prefixBounds([]byte{messageSpace})
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
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

// Topics calls f for every topic, by name.
func (s *Store) Topics(f func(Topic) error) error {
	return scan(s.db, []byte{topicSpace}, func(_, v []byte) error {
		t, err := decodeTopic(v)
		if err != nil {
			return err
		}
		return f(t)
	})
}

// Subscriptions calls f for every subscription, by name.
func (s *Store) Subscriptions(f func(Subscription) error) error {
	return scan(s.db, []byte{subSpace}, func(_, v []byte) error {
		sub, err := decodeSubscription(v)
		if err != nil {
			return err
		}
		return f(sub)
	})
}

// Snapshots calls f for every snapshot, by name.
func (s *Store) Snapshots(f func(Snapshot) error) error {
	return scan(s.db, []byte{snapshotSpace}, func(_, v []byte) error {
		n, err := decodeSnapshot(v)
		if err != nil {
			return err
		}
		return f(n)
	})
}

// Entries calls f for every entry of the subscription, in the order of
// publishing.
func (s *Store) Entries(sub uint64, f func(Entry) error) error {
	return scan(s.db, numberKey(entrySpace, sub), func(k, v []byte) error {
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

// Messages calls f for every stored message in the order of publishing. The
// function body decodes it, for those who need more than its number.
func (s *Store) Messages(f func(seq uint64, body func() (topic uint64, m *pubsubpb.PubsubMessage, err error)) error) error {
	return scan(s.db, []byte{messageSpace}, func(k, v []byte) error {
		if len(k) != 9 {
			return ErrCorrupt
		}
		return f(binary.BigEndian.Uint64(k[1:]), func() (uint64, *pubsubpb.PubsubMessage, error) {
			return decodeMessage(v)
		})
	})
}

// Activity is when the subscription was last in use, the zero time if that was
// never stored.
func (s *Store) LastUsed(sub uint64) (time.Time, error) {
	v, closer, err := s.db.Get(numberKey(lastUsedSpace, sub))
	if errors.Is(err, pebble.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read activity: %w", err)
	}
	r := decoder{rest: v}
	t := time.UnixMicro(r.varint())
	return t, errors.Join(r.err, closer.Close())
}

func scan(db *pebble.DB, prefix []byte, f func(k, v []byte) error) error {
	from, to := prefixBounds(prefix)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
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
