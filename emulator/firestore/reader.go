package firestore

import (
	"context"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/meter"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/txn"
)

// consistencySelector says at which time, or in which transaction, a call reads.
type consistencySelector struct {
	transaction    []byte
	newTransaction *pb.TransactionOptions
	readTime       *timestamppb.Timestamp
}

// reader is one read call. It reads from one snapshot.
type reader struct {
	*store.Snapshot
	meter *meter.Meter
	db    name.Database
	tx    *txn.Transaction // nil outside of transactions
	// newTransaction is the ID of the transaction that this call has begun; nil if it has not.
	newTransaction []byte
}

// newReader opens the snapshot that the selector describes. documents are those that the call is going to read.
func (s *Server) newReader(ctx context.Context, db name.Database, sel consistencySelector, documents ...name.Path) (rd *reader, err error) {
	rd = &reader{db: db, meter: s.meter}
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
		if !rd.tx.Snapshot.Retain() { // the transaction has ended in the meantime
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
	if rd.Snapshot, err = s.openSnapshot(rd.tx, db); err != nil {
		return nil, err
	}
	return rd, nil
}

// openSnapshot opens the snapshot for a read outside of transactions, or in a read-write transaction.
func (s *Server) openSnapshot(tx *txn.Transaction, db name.Database) (*store.Snapshot, error) {
	if tx == nil {
		return s.store.Snapshot(db)
	}
	return tx.BeginRead(s.store)
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

func (rd *reader) close() {
	if rd.readWrite() {
		rd.tx.EndRead()
	}
	_ = rd.Snapshot.Close() // frees memory only
}

// readWrite reports whether the call belongs to a read-write transaction. Its reads need not wait for the disk,
// because the commit or rollback does.
func (rd *reader) readWrite() bool { return rd.tx != nil && rd.tx.Snapshot == nil }

func (rd *reader) get(ctx context.Context, p name.Path) (*document.Document, error) {
	rd.meter.AddReads(meter.Get, p.Collection(), 1)
	d, err := rd.Get(rd.db, p)
	if err != nil {
		return nil, err
	}
	if rd.readWrite() {
		rd.tx.RecordRead(p, d)
		return d, nil
	}
	return d, rd.WaitDocumentDurable(ctx, d)
}

// runQuery passes the results of a query to yield one by one. A read-write transaction records the query, even if
// yield fails.
func (rd *reader) runQuery(ctx context.Context, q *query.Query, yield func(*document.Document) error) error {
	if rd.readWrite() {
		return rd.runTrackedQuery(q, yield)
	}
	if err := rd.WaitDurable(ctx); err != nil {
		return err
	}
	for d, err := range rd.RunQuery(q) {
		if err != nil {
			return err
		}
		if err := yield(q.Project(d)); err != nil {
			return err
		}
	}
	return nil
}

func (rd *reader) runTrackedQuery(q *query.Query, yield func(*document.Document) error) error {
	n := 0
	var last *document.Document // the result that reaches the limit; nil if there are fewer
	defer func() { rd.tx.RecordQuery(q, last) }()
	for d, err := range rd.RunQuery(q) {
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
