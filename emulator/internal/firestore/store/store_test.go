package store_test

import (
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/write"
)

var database = name.Database{Project: "p", ID: "(default)"}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is a *testing.T, a *testing.B or a *rapid.T.
type tester interface {
	require.TestingT
	Helper()
	Cleanup(func())
}

// open opens a store in memory until the test ends.
func open(t tester, o store.Options) *store.Store {
	t.Helper()
	db, err := disk.Open(disk.Options{Kind: "test", Version: 1})
	require.NoError(t, err)
	s, err := store.Open(db, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func commit(t tester, s *store.Store, writes ...*pb.Write) *store.PendingCommit {
	t.Helper()
	var parsed []write.Write
	for _, w := range writes {
		p, err := write.Parse(database, w)
		require.NoError(t, err)
		parsed = append(parsed, p)
	}
	p, err := s.CommitAsync(database, parsed, nil)
	require.NoError(t, err)
	return p
}

func set(p name.Path, fields map[string]*pb.Value) *pb.Write {
	return &pb.Write{Operation: &pb.Write_Update{Update: &pb.Document{Name: p.ResourceName(database), Fields: fields}}}
}

func remove(p name.Path) *pb.Write {
	return &pb.Write{Operation: &pb.Write_Delete{Delete: p.ResourceName(database)}}
}

func run(t tester, sn *store.Snapshot, q *query.Query) []string {
	t.Helper()
	var found []*document.Document
	for d, err := range sn.RunQuery(q) {
		require.NoError(t, err)
		found = append(found, d)
	}
	return names(found)
}

func boolean(b bool) *pb.Value { return &pb.Value{ValueType: &pb.Value_BooleanValue{BooleanValue: b}} }

func text(s string) *pb.Value { return &pb.Value{ValueType: &pb.Value_StringValue{StringValue: s}} }

func object(key string, v *pb.Value) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{Fields: map[string]*pb.Value{key: v}}}}
}
