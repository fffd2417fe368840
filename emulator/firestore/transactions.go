package firestore

import (
	"context"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/txn"
)

// BeginTransaction begins a transaction.
func (s *Server) BeginTransaction(_ context.Context, r *pb.BeginTransactionRequest) (*pb.BeginTransactionResponse, error) {
	db, err := name.ParseDatabase(r.GetDatabase())
	if err != nil {
		return nil, err
	}
	tx, err := s.beginTransaction(db, r.GetOptions())
	if err != nil {
		return nil, err
	}
	return &pb.BeginTransactionResponse{Transaction: []byte(tx.ID)}, nil
}

func (s *Server) beginTransaction(db name.Database, o *pb.TransactionOptions) (*txn.Transaction, error) {
	s.transactions.Expire()
	ro, ok := o.GetMode().(*pb.TransactionOptions_ReadOnly_)
	if !ok {
		// A retry is like any other transaction; only the failed attempt must end.
		s.transactions.End(o.GetReadWrite().GetRetryTransaction())
		return s.transactions.Begin(db, nil), nil
	}
	if t := ro.ReadOnly.GetReadTime(); t != nil {
		sn, err := s.snapshotAt(db, t)
		if err != nil {
			return nil, err
		}
		return s.transactions.Begin(db, sn), nil
	}
	sn, err := s.store.Snapshot(db)
	if err != nil {
		return nil, err
	}
	return s.transactions.Begin(db, sn), nil
}

// Rollback ends a transaction. If it has already ended, that is not an error. Reads in a read-write transaction do
// not wait for the disk, so the rollback does: the client may act on the data it has read.
func (s *Server) Rollback(ctx context.Context, r *pb.RollbackRequest) (*emptypb.Empty, error) {
	if _, err := name.ParseDatabase(r.GetDatabase()); err != nil {
		return nil, err
	}
	if len(r.GetTransaction()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "A rollback needs a transaction.")
	}
	s.transactions.End(r.GetTransaction())
	return &emptypb.Empty{}, s.store.WaitDurable(ctx)
}

// Commit applies writes, with or without a transaction.
func (s *Server) Commit(ctx context.Context, r *pb.CommitRequest) (*pb.CommitResponse, error) {
	db, err := name.ParseDatabase(r.GetDatabase())
	if err != nil {
		return nil, err
	}
	writes, err := parseWrites(db, r.GetWrites())
	if err != nil {
		return nil, err
	}
	var check func(*store.View) error
	if id := r.GetTransaction(); len(id) > 0 {
		tx, err := s.transactions.Use(db, id)
		if err != nil {
			return nil, err
		}
		defer s.transactions.End(id)
		if tx.Snapshot != nil {
			if len(writes) > 0 {
				return nil, status.Error(codes.InvalidArgument, "Cannot modify entities in a read-only transaction.")
			}
			return &pb.CommitResponse{CommitTime: tx.Snapshot.Time.Proto()}, nil
		}
		check = tx.Check
	}
	pending, err := s.store.CommitAsync(db, writes, check)
	s.transactions.End(r.GetTransaction()) // before the wait for the disk, so that waiting transactions go on
	if err != nil {
		return nil, err
	}
	s.bill(writes)
	if err := pending.Wait(ctx); err != nil {
		return nil, err
	}
	return &pb.CommitResponse{CommitTime: pending.Time.Proto(), WriteResults: writeResults(pending.Writes)}, nil
}
