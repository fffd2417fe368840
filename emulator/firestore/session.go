package firestore

import (
	"context"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/txn"
)

// selector is what the read calls have in common: at what time, or in which transaction, to read.
type selector struct {
	transaction []byte
	begin       *pb.TransactionOptions
	readTime    *timestamppb.Timestamp
}

// session is one read call on one snapshot.
type session struct {
	*store.Snapshot
	db name.Database
	tx *txn.Transaction // nil outside of transactions
	// begun is the ID of a transaction that this call has opened.
	begun []byte
}

// session opens a snapshot as the selector asks. needed are the documents a transaction is going to read.
func (s *Server) session(ctx context.Context, db name.Database, sel selector, needed ...name.Path) (*session, error) {
	out := &session{db: db}
	switch {
	case sel.begin != nil:
		tx, err := s.begin(db, sel.begin)
		if err != nil {
			return nil, err
		}
		out.tx, out.begun = tx, []byte(tx.ID)
	case len(sel.transaction) > 0:
		tx, err := s.open.Use(db, sel.transaction)
		if err != nil {
			return nil, err
		}
		out.tx = tx
	case sel.readTime != nil:
		sn, err := s.snapshotAt(db, sel.readTime)
		if err != nil {
			return nil, err
		}
		out.Snapshot = sn
		return out, nil
	}
	if out.tx != nil && out.tx.Snapshot != nil {
		if !out.tx.Snapshot.Share() { // ended since it was found
			return nil, txn.ErrGone
		}
		out.Snapshot = out.tx.Snapshot
		return out, nil
	}
	if out.tx != nil {
		if err := out.tx.Await(ctx, needed); err != nil {
			return nil, err
		}
	}
	out.Snapshot = s.store.Snapshot()
	return out, nil
}

func (s *Server) snapshotAt(db name.Database, t *timestamppb.Timestamp) (*store.Snapshot, error) {
	if err := t.CheckValid(); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "The read_time is not valid: %v.", err)
	}
	if t.GetNanos()%1000 != 0 {
		return nil, status.Error(codes.InvalidArgument, "The read_time must be in whole microseconds.")
	}
	return s.store.SnapshotAt(db, document.ParseTime(t))
}

func (e *session) close() {
	_ = e.Snapshot.Close() // frees memory only
}

// writing says whether the session belongs to a read-write transaction. Its reads need not wait for the disk: what
// they saw is on disk before the transaction is.
func (e *session) writing() bool { return e.tx != nil && e.tx.Snapshot == nil }

func (e *session) get(ctx context.Context, p name.Path) (*document.Document, error) {
	d, err := e.Get(e.db, p)
	if err != nil {
		return nil, err
	}
	if e.writing() {
		e.tx.SawDocument(p, d)
		return d, nil
	}
	return d, e.DurableDocument(ctx, d)
}

// run answers a query one document at a time. A read-write transaction remembers what it has seen, also
// where sending fails half-way.
func (e *session) run(ctx context.Context, q *query.Query, yield func(*document.Document) error) error {
	if e.writing() {
		return e.follow(q, yield)
	}
	if err := e.Durable(ctx); err != nil {
		return err
	}
	for d, err := range e.Run(q) {
		if err != nil {
			return err
		}
		if err := yield(q.Project(d)); err != nil {
			return err
		}
	}
	return nil
}

func (e *session) follow(q *query.Query, yield func(*document.Document) error) error {
	n := 0
	var last *document.Document // of as many as the limit allows
	defer func() { e.tx.SawQuery(q, e.Time, last) }()
	for d, err := range e.Run(q) {
		if err != nil {
			return err
		}
		if n++; n == q.Limit {
			last = d
		}
		if err := yield(q.Project(d)); err != nil {
			return err
		}
	}
	return nil
}
