package store_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// numberQuery returns a query that needs an index.
func numberQuery(n int64) *query.Query {
	return &query.Query{
		Database: database, Collection: "c",
		Filter: query.FieldFilter{Path: field.Path{"n"}, Op: query.Equal, Value: value.Int(n)},
		Order:  []query.Order{{Path: field.Path{"m"}}, {Path: field.Path{field.DocumentID}}},
	}
}

// TestIndexIsBuiltBetweenCommits builds an index while documents are created, changed and deleted.
func TestIndexIsBuiltBetweenCommits(t *testing.T) {
	s := open(t, store.Options{ScanLimit: 1})
	at := func(i int) name.Path { return name.Path{"c", fmt.Sprintf("%04d", i)} }
	const docs = 1000
	for i := range docs {
		commit(t, s, set(at(i), map[string]*pb.Value{"n": value.Int(0), "m": value.Int(int64(i))}))
	}
	var g errgroup.Group
	var building atomic.Bool
	building.Store(true)
	g.Go(func() error {
		defer building.Store(false)
		return s.EnsureIndexes(numberQuery(1))
	})
	for i := 0; building.Load() || i < docs; i++ {
		switch i % 3 {
		case 0:
			commit(t, s, remove(at(i%docs)))
		case 1:
			commit(t, s, set(at(i%docs), map[string]*pb.Value{"n": value.Int(1), "m": value.Int(int64(-i))}))
		case 2:
			commit(t, s, set(at(docs+i), map[string]*pb.Value{"n": value.Int(1), "m": value.Int(int64(i))}))
		}
	}
	require.NoError(t, g.Wait())

	sn, err := s.Snapshot(database)
	require.NoError(t, err)
	defer sn.Close()
	all := &query.Query{Database: database, Collection: "c", Order: []query.Order{{Path: field.Path{field.DocumentID}}}}
	for n := range int64(2) {
		q := numberQuery(n)
		var want []*document.Document
		for d, err := range sn.RunQuery(all) {
			require.NoError(t, err)
			if q.Matches(d) {
				want = append(want, d)
			}
		}
		slices.SortFunc(want, q.Compare)
		require.NotEmpty(t, want)
		require.Equal(t, names(want), run(t, sn, q))
	}
}

// TestSnapshotContainsCommitsUpToItsTime takes snapshots between commits that each write a pair of documents.
func TestSnapshotContainsCommitsUpToItsTime(t *testing.T) {
	s := open(t, store.Options{})
	var mu sync.Mutex
	var times []document.Time
	var g errgroup.Group
	for w := range 4 {
		g.Go(func() error {
			for i := range 200 {
				n := map[string]*pb.Value{"n": value.Int(int64(w*1000 + i))}
				p := commit(t, s, set(name.Path{"c", "a"}, n), set(name.Path{"c", "b"}, n))
				mu.Lock()
				times = append(times, p.Time)
				mu.Unlock()
			}
			return nil
		})
	}
	type observation struct{ at, a, b document.Time }
	var observations []observation
	for range 300 {
		sn, err := s.Snapshot(database)
		require.NoError(t, err)
		var seen [2]document.Time
		for i, id := range []string{"a", "b"} {
			d, err := sn.Get(database, name.Path{"c", id})
			require.NoError(t, err)
			if d != nil {
				seen[i] = d.UpdateTime
			}
		}
		observations = append(observations, observation{sn.Time, seen[0], seen[1]})
		require.NoError(t, sn.Close())
	}
	require.NoError(t, g.Wait())
	slices.Sort(times)
	require.Len(t, slices.Compact(slices.Clone(times)), 800, "no two commits have the same time")
	for _, o := range observations {
		require.Equal(t, o.a, o.b, "a commit is visible completely or not at all")
		i, _ := slices.BinarySearch(times, o.at+1)
		if i == 0 {
			require.Zero(t, o.a)
		} else {
			require.Equal(t, times[i-1], o.a, "the newest commit up to the time of the snapshot")
		}
	}
}

func TestOnCommitRunsInOrderAfterSync(t *testing.T) {
	var mu sync.Mutex
	var received []store.Event
	s := open(t, store.Options{OnCommit: func(e store.Event) {
		mu.Lock()
		defer mu.Unlock()
		received = append(received, e)
	}})
	var g errgroup.Group
	for w := range 4 {
		g.Go(func() error {
			for i := range 50 {
				p := commit(t, s, set(name.Path{"c", fmt.Sprint(w)}, map[string]*pb.Value{"n": value.Int(int64(i))}))
				if err := p.Wait(t.Context()); err != nil {
					return err
				}
				mu.Lock()
				ok := slices.ContainsFunc(received, func(e store.Event) bool { return e.Time == p.Time })
				mu.Unlock()
				if !ok {
					return fmt.Errorf("Wait returned before OnCommit received commit %d", p.Time)
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.Len(t, received, 200)
	require.True(t, slices.IsSortedFunc(received, func(a, b store.Event) int { return int(a.Time - b.Time) }))
}

func TestTrimHistory(t *testing.T) {
	s := open(t, store.Options{})
	p := name.Path{"c", "d"}
	var times []document.Time
	for i := range 4 {
		times = append(times, commit(t, s, set(p, map[string]*pb.Value{"n": value.Int(int64(i))})).Time)
	}
	read := func(at document.Time) (int64, error) {
		sn, err := s.SnapshotAt(database, at)
		if err != nil {
			return 0, err
		}
		defer sn.Close()
		d, err := sn.Get(database, p)
		return d.Fields["n"].GetIntegerValue(), err
	}
	for i, at := range times {
		n, err := read(at)
		require.NoError(t, err)
		require.EqualValues(t, i, n)
	}
	require.NoError(t, s.TrimHistory(times[1]))
	_, err := read(times[0])
	require.ErrorIs(t, err, store.ErrTooOld)
	n, err := read(times[1])
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	_, err = read(times[3] + 1e12)
	require.ErrorIs(t, err, store.ErrInFuture)
}
