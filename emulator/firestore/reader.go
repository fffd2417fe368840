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
type consistencySelector struct {
	transaction    []byte
	newTransaction *pb.TransactionOptions
	readTime       *timestamppb.Timestamp
}

// session is one read call on one snapshot.
type reader struct {
	*store.Snapshot
	db name.Database
	tx *txn.Transaction // nil outside of transactions
	// begun is the ID of a transaction that this call has opened.
	newTransaction []byte
}

// session opens a snapshot as the selector asks. needed are the documents a transaction is going to read.
func (s *Server) newReader(ctx context.Context, db name.Database, sel consistencySelector, documents ...name.Path) (*reader, error) {
	rd := &reader{db: db}
	switch {
	case sel.newTransaction != nil:
		tx, err := s.beginTransaction(db, sel.newTransaction)
		if err != nil {
			return nil, err
		}
		rd.tx, rd.newTransaction = tx, []byte(tx.ID)
	case len(sel.transaction) > 0:
		tx, err := s.transactions.Use(db, sel.transaction)
		if err != nil {
			return nil, err
		}
		rd.tx = tx
	case sel.readTime != nil:
		sn, err := s.snapshotAt(db, sel.readTime)
		if err != nil {
			return nil, err
		}
		rd.Snapshot = sn
		return rd, nil
	}
	if rd.tx != nil && rd.tx.Snapshot != nil {
		if !rd.tx.Snapshot.Retain() { // ended since it was found
			return nil, txn.ErrNotOpen
		}
		rd.Snapshot = rd.tx.Snapshot
		return rd, nil
	}
	if rd.tx != nil {
		if err := rd.tx.AcquireContended(ctx, documents); err != nil {
			return nil, err
		}
	}
	rd.Snapshot = s.store.Snapshot()
	return rd, nil
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

func (e *reader) close() {
	_ = e.Snapshot.Close() // frees memory only
}

// writing says whether the session belongs to a read-write transaction. Its reads need not wait for the disk: what
// they saw is on disk before the transaction is.
func (e *reader) readWrite() bool { return e.tx != nil && e.tx.Snapshot == nil }

func (e *reader) get(ctx context.Context, p name.Path) (*document.Document, error) {
	d, err := e.Get(e.db, p)
	if err != nil {
		return nil, err
	}
	if e.readWrite() {
		e.tx.RecordRead(p, d)
		return d, nil
	}
	return d, e.WaitDocumentDurable(ctx, d)
}

// run answers a query one document at a time. A read-write transaction remembers what it has seen, also
// where sending fails half-way.
func (e *reader) runQuery(ctx context.Context, q *query.Query, yield func(*document.Document) error) error {
	if e.readWrite() {
		return e.runTrackedQuery(q, yield)
	}
	if err := e.WaitDurable(ctx); err != nil {
		return err
	}
	for d, err := range e.RunQuery(q) {
		if err != nil {
			return err
		}
		if err := yield(q.Project(d)); err != nil {
			return err
		}
	}
	return nil
}

func (e *reader) runTrackedQuery(q *query.Query, yield func(*document.Document) error) error {
	n := 0
	var last *document.Document // of as many as the limit allows
	defer func() { e.tx.RecordQuery(q, e.Time, last) }()
	for d, err := range e.RunQuery(q) {
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
