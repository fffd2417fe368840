// Package firestore is a Firestore server for development and tests: the google.firestore.v1 service on one folder of
// a local disk.
package firestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/listen"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/txn"
)

// The stamp of the data on disk.
const (
	storeKind    = "firestore"
	storeVersion = 1
)

// MaxRequest is what the gRPC server should be told to receive (grpc.MaxRecvMsgSize): a request may have 10 MiB, and
// gRPC allows 4 unless told otherwise.
const MaxRequestBytes = 11 << 20

// Options configure a server. The zero value keeps everything in memory.
type Options struct {
	// Dir is the folder of the data, made if it is not there. Empty: in memory.
	Dir string
	// Logger hears what goes wrong inside. Nil: nobody.
	Logger *zap.Logger
	// TTL names, by collection ID, the timestamp field after which documents of that collection group are deleted.
	TTL map[string]string
	// Now is the wall clock behind every time the server shows. Nil: time.Now.
	Now func() time.Time
}

// Server answers google.firestore.v1. It serves any number of projects and databases, each made by its first write.
type Server struct {
	pb.UnimplementedFirestoreServer

	log          *zap.Logger
	now          func() time.Time
	calls        *callTracker
	store        *store.Store
	transactions *txn.Registry
	broadcaster  *listen.Broadcaster

	ttlFields   map[string]field.Path // by collection ID
	janitor     errgroup.Group
	stopJanitor context.CancelFunc // ends the janitor
}

// Open opens the data. Its errors are those of disk.Open, and a TTL field that is no field path.
func Open(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{log: o.Logger, now: o.Now, calls: newCallTracker(), transactions: txn.NewRegistry(o.Now), broadcaster: listen.NewBroadcaster(), ttlFields: map[string]field.Path{}}
	for collection, text := range o.TTL {
		p, err := field.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("TTL of %s: %w", collection, err)
		}
		s.ttlFields[collection] = p
	}
	db, err := disk.Open(o.Dir, storeKind, storeVersion, pebbleOptions(o.Logger))
	if err != nil {
		return nil, err
	}
	s.store, err = store.Open(db, store.Options{Now: o.Now, OnCommit: s.broadcaster.Publish})
	if err != nil {
		return nil, fmt.Errorf("open the documents in %s: %w", o.Dir, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stopJanitor = cancel
	s.janitor.Go(func() error { return s.runJanitor(ctx) })
	return s, nil
}

// tuning bounds memory to what a laptop can spare, and makes a look at a document that is not there cheap.
func pebbleOptions(log *zap.Logger) *pebble.Options {
	o := &pebble.Options{CacheSize: 64 << 20, MemTableSize: 16 << 20, MaxOpenFiles: 500, Logger: pebbleLogger{log.Sugar()}}
	o.EnsureDefaults()
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// Close ends the streams, so that GracefulStop returns, lets the calls under way finish, waits for the disk and frees
// the folder. Later calls answer UNAVAILABLE. It is to be called once.
func (s *Server) Close() error {
	s.stopJanitor()
	s.calls.drain()
	err := s.janitor.Wait()
	s.transactions.Close()
	return errors.Join(err, s.store.Close())
}
