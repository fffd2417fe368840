package firestore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	client "cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/firestore"
)

// accounts are documents whose balances always add up to the same total.
type accounts struct {
	c     *client.Client
	total int64
}

func openAccounts(t *testing.T, e service, n int) accounts {
	t.Helper()
	c := e.dial(t, "p")
	require.NoError(t, commitWrites(t.Context(), c, func(tx *client.Transaction) (err error) {
		for i := range n {
			err = errors.Join(err, tx.Set(c.Doc(fmt.Sprintf("accounts/%d", i)), map[string]any{"balance": 100, "rich": true}))
		}
		return err
	}))
	return accounts{c, int64(100 * n)}
}

// transfer moves an amount, and with it whether an account is rich.
func (a accounts) transfer(ctx context.Context, from, to, amount int) error {
	return commitWrites(ctx, a.c, func(tx *client.Transaction) error {
		return errors.Join(
			tx.Update(a.c.Doc(fmt.Sprintf("accounts/%d", from)), []client.Update{{Path: "balance", Value: client.Increment(-amount)}}),
			tx.Update(a.c.Doc(fmt.Sprintf("accounts/%d", to)), []client.Update{{Path: "balance", Value: client.Increment(amount)}}))
	})
}

func (a accounts) balance(tx *client.Transaction, i int) (int64, error) {
	snap, err := tx.Get(a.c.Doc(fmt.Sprintf("accounts/%d", i)))
	if err != nil {
		return 0, err
	}
	return snap.Data()["balance"].(int64), nil
}

func (a accounts) sumOfQuery(tx *client.Transaction) (sum int64, err error) {
	docs, err := tx.Documents(a.c.Collection("accounts").Where("rich", "==", true)).GetAll()
	for _, d := range docs {
		sum += d.Data()["balance"].(int64)
	}
	return sum, err
}

func (a accounts) aggregate(tx *client.Transaction) (int64, error) {
	got, err := a.c.Collection("accounts").NewAggregationQuery().WithSum("balance", "sum").Transaction(tx).Get(context.Background())
	if err != nil {
		return 0, err
	}
	return got["sum"].(*pb.Value).GetIntegerValue(), nil
}

// TestReadsOfTransactionThatFails changes what a transaction has read before its second read. The transaction is
// aborted there, and does not see a state that never existed.
func TestReadsOfTransactionThatFails(t *testing.T) {
	e := start(t, firestore.Options{})
	a := openAccounts(t, e, 2)
	errGiveUp := errors.New("give up")
	second := func(tx *client.Transaction, first int64) error {
		b, err := a.balance(tx, 1)
		if err == nil && first+b != a.total {
			err = fmt.Errorf("balances of %d and %d", first, b)
		}
		return err
	}
	query := func(sum func(*client.Transaction) (int64, error)) func(*client.Transaction, int64) error {
		return func(tx *client.Transaction, _ int64) error {
			got, err := sum(tx)
			if err == nil && got != a.total {
				err = fmt.Errorf("a sum of %d", got)
			}
			return err
		}
	}
	for name, read := range map[string]func(*client.Transaction, int64) error{
		"document": second, "query": query(a.sumOfQuery), "aggregation": query(a.aggregate),
	} {
		t.Run(name, func(t *testing.T) {
			var codesSeen []codes.Code
			err := a.c.RunTransaction(t.Context(), func(_ context.Context, tx *client.Transaction) error {
				first, err := a.balance(tx, 0)
				require.NoError(t, err)
				if len(codesSeen) == 0 {
					require.NoError(t, a.transfer(t.Context(), 0, 1, 10))
				}
				err = read(tx, first)
				codesSeen = append(codesSeen, status.Code(err))
				if err != nil {
					return err
				}
				return errGiveUp // it would never have been committed
			})
			require.ErrorIs(t, err, errGiveUp)
			require.Equal(t, []codes.Code{codes.Aborted, codes.OK}, codesSeen)
		})
	}
}

// What a transaction has not read yet may change: it then reads the newest version.
func TestLaterReadSeesNewerState(t *testing.T) {
	e := start(t, firestore.Options{})
	c := e.dial(t, "p")
	attempts := 0
	err := c.RunTransaction(t.Context(), func(_ context.Context, tx *client.Transaction) error {
		attempts++
		for i := range 3 {
			doc := c.Doc(fmt.Sprintf("c/%d", i))
			_, err := doc.Set(t.Context(), map[string]any{"n": attempts})
			require.NoError(t, err)
			snap, err := tx.Get(doc)
			if err != nil {
				return err
			}
			require.EqualValues(t, attempts, snap.Data()["n"])
		}
		return tx.Set(c.Doc("c/out"), map[string]any{})
	})
	require.NoError(t, err)
	require.Equal(t, 1, attempts)
}

// TestTransactionsReadOneState reads in all ways, also at the same time, during transfers.
func TestTransactionsReadOneState(t *testing.T) {
	e := start(t, firestore.Options{})
	const n = 4
	a := openAccounts(t, e, n)
	attempts := 0
	for round := range 10 {
		var transfers errgroup.Group
		for i := range 4 {
			transfers.Go(func() error { return a.transfer(t.Context(), i, (i+1)%n, 1+round) })
		}
		err := a.c.RunTransaction(t.Context(), func(_ context.Context, tx *client.Transaction) (err error) {
			attempts++
			var reads errgroup.Group
			var one, all, aggregated int64
			reads.Go(func() (err error) { all, err = a.sumOfQuery(tx); return err })
			reads.Go(func() (err error) { aggregated, err = a.aggregate(tx); return err })
			for i := range n {
				b, readErr := a.balance(tx, i)
				err = errors.Join(err, readErr)
				one += b
			}
			if err := errors.Join(err, reads.Wait()); err != nil {
				require.Equal(t, codes.Aborted, status.Code(err), "%v", err)
				return status.Error(codes.Aborted, "again")
			}
			require.Equal(t, []int64{a.total, a.total, a.total}, []int64{one, all, aggregated})
			return nil
		})
		require.NoError(t, err)
		require.NoError(t, transfers.Wait())
	}
	t.Logf("10 transactions needed %d attempts", attempts)
}
