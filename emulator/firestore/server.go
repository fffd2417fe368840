// Package firestore is an embedded Firestore: a google.firestore.v1 server for Google's client libraries, which keeps
// its data in one folder.
//
// It receives gRPC calls and returns replies, query results and change streams. A write returns when it is on disk. The
// package does not listen, and never checks credentials or security rules: the caller registers the server with a
// grpc.Server. Package emulator runs it in a program, package emulatortest in a Go test.
//
//	server, err := firestore.Open(firestore.Options{Dir: "data", TTL: map[string]string{"sessions": "expiresAt"}})
//	g := emulator.NewServer(server)
//	err = g.Serve(listener)
//	...
//	err = server.Close() // first: it ends the streams
//	g.GracefulStop()
//
// This package checks the requests and handles the streams. The packages below emulator/internal/firestore do the
// rest:
//
//	name      names of documents, collections and databases
//	field     field paths
//	value     order, encoding, size and limits of values
//	document  a version of a document, and its record
//	write     writes and transforms, applied to one document
//	query     queries: parsing, matching, order, plans, aggregations
//	indexes   which queries the cloud serves, in strict mode
//	meter     what the cloud bills and throttles, in strict mode
//	store     documents, indexes and history on disk
//	txn       open transactions
//	listen    change streams
package firestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/listen"
	"github.com/airlock-run/airlock/emulator/internal/firestore/meter"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/txn"
	"github.com/airlock-run/airlock/emulator/internal/grpcserver"
)

// The format record of the data on disk. The version increases with every change of the keys or records.
const (
	storeKind    = "firestore"
	storeVersion = 1
)

// Options are the settings of a server. The zero value is a server in memory.
type Options struct {
	Dir    string      // of the data, created if missing; "" means in memory
	Logger *zap.Logger // nil discards everything
	// TTL names, by collection ID, the timestamp field after which the documents of that collection group are deleted.
	TTL map[string]string
	// Now is the clock of all times that the server shows. Nil means time.Now.
	Now func() time.Time
	// Indexes, if not nil, turn on strict mode: queries without their index are refused as in the cloud, and Report
	// says what the cloud would bill and throttle.
	Indexes *Indexes
}

// Server implements the service Firestore, for any number of projects and databases. A database exists from its first
// write on. It is safe for concurrent use.
type Server struct {
	pb.UnimplementedFirestoreServer

	log          *zap.Logger
	now          func() time.Time
	calls        *grpcserver.Calls
	store        *store.Store
	transactions *txn.Registry
	broadcaster  *listen.Broadcaster
	indexes      *Indexes     // nil: not strict
	meter        *meter.Meter // nil: not strict
	close        func() error

	ttlFields   map[string]field.Path // by collection ID
	janitor     errgroup.Group
	stopJanitor context.CancelFunc
}

// Open opens the folder, which only one server at a time can use. It fails if a TTL field is not a field path. If the
// folder cannot be used, the error is one of those that package emulator names: *emulator.LockedError,
// *emulator.KindError, *emulator.VersionError or *emulator.CorruptError.
func Open(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		log:          o.Logger,
		now:          o.Now,
		calls:        grpcserver.NewCalls(o.Logger, translateError),
		transactions: txn.NewRegistry(o.Now),
		broadcaster:  listen.NewBroadcaster(),
		indexes:      o.Indexes,
		ttlFields:    map[string]field.Path{},
	}
	if o.Indexes != nil {
		s.meter = meter.New(o.Indexes, o.Logger)
	}
	s.close = sync.OnceValue(s.shutDown)
	for collection, text := range o.TTL {
		p, err := field.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("TTL of %s: %w", collection, err)
		}
		s.ttlFields[collection] = p
	}
	db, err := disk.Open(disk.Options{Dir: o.Dir, Kind: storeKind, Version: storeVersion, Logger: o.Logger, Pebble: pebbleOptions()})
	if err != nil {
		return nil, err
	}
	s.store, err = store.Open(db, store.Options{Now: o.Now, OnCommit: s.publish})
	if err != nil {
		return nil, fmt.Errorf("open the documents in %s: %w", o.Dir, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stopJanitor = cancel
	s.janitor.Go(func() error { return s.runJanitor(ctx) })
	return s, nil
}

// publish passes a commit to the streams that watch something in it. If that panics, these streams end, and their
// clients resume.
func (s *Server) publish(e store.Event) {
	err := s.calls.Recover("publish a commit", func() error {
		s.broadcaster.Publish(e)
		return nil
	})
	if err != nil {
		s.broadcaster.Drop()
	}
	if s.meter != nil {
		_ = s.calls.Recover("measure a commit", func() error { // Recover has logged it
			s.meter.RecordCommit(e)
			return nil
		})
	}
}

// pebbleOptions limits the memory to what a laptop can spare. The Bloom filters make reads of missing documents cheap.
func pebbleOptions() *pebble.Options {
	o := &pebble.Options{CacheSize: 64 << 20, MemTableSize: 16 << 20, MaxOpenFiles: 500}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// Register adds the service to a gRPC server, which must accept requests of 11 MiB: a request has up to 10 MiB, and
// gRPC allows 4 MiB by default. emulator.NewServer returns such a server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(s.calls.Wrap(pb.Firestore_ServiceDesc), s)
}

// Close ends the streams, waits for the active calls and for the disk, and unlocks the folder. Later calls get
// UNAVAILABLE. Close may be called again; it returns the same error.
func (s *Server) Close() error { return s.close() }

func (s *Server) shutDown() error {
	s.stopJanitor()
	s.calls.Close()
	err := s.janitor.Wait()
	s.transactions.Close()
	return errors.Join(err, s.store.Close())
}

// translateError gives the errors of the store a status.
func translateError(err error) error {
	switch {
	case errors.Is(err, store.ErrInFuture):
		return status.Error(codes.InvalidArgument, "The read_time is in the future.")
	case errors.Is(err, store.ErrTooOld):
		return status.Error(codes.FailedPrecondition, "The read_time is too old.")
	}
	if full, ok := errors.AsType[*disk.FullError](err); ok && full.Waiting {
		return status.Error(codes.Unavailable, "The disk is full. If this call writes, it may take place when there is space.")
	} else if ok {
		return status.Error(codes.ResourceExhausted, "The disk is full, so nothing is written until there is space.")
	}
	return err
}
