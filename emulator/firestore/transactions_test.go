package firestore_test

import (
	"context"
	"testing"
	"time"

	client "cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/emulator/firestore"
)

func TestConcurrentIncrementsAreNotLost(t *testing.T) {
	e := start(t, firestore.Options{})
	a, b := e.dial(t, "p"), e.dial(t, "p")
	doc := a.Doc("counters/one")
	_, err := doc.Set(t.Context(), map[string]any{"n": 0})
	require.NoError(t, err)

	const increments = 80
	g, ctx := errgroup.WithContext(t.Context())
	for i := range increments {
		c := []*client.Client{a, b}[i%2]
		g.Go(func() error {
			return c.RunTransaction(ctx, func(_ context.Context, tx *client.Transaction) error {
				snap, err := tx.Get(c.Doc("counters/one"))
				if err != nil {
					return err
				}
				n, err := snap.DataAt("n")
				if err != nil {
					return err
				}
				return tx.Set(c.Doc("counters/one"), map[string]any{"n": n.(int64) + 1})
			})
		})
	}
	require.NoError(t, g.Wait())
	snap, err := doc.Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]any{"n": int64(increments)}, snap.Data())
}

// TestTransactionConflicts writes with another client between the reads and the commit of the first attempt.
func TestTransactionConflicts(t *testing.T) {
	e := start(t, firestore.Options{})
	c, other := e.dial(t, "p"), e.dial(t, "p")
	queued := c.Collection("c").Where("status", "==", "queued").OrderBy("n", client.Asc)
	get := func(ref string) func(*client.Transaction) error {
		return func(tx *client.Transaction) error {
			_, err := tx.Get(c.Doc(ref))
			if status.Code(err) == codes.NotFound {
				return nil
			}
			return err
		}
	}
	run := func(q client.Query) func(*client.Transaction) error {
		return func(tx *client.Transaction) error {
			_, err := tx.Documents(q).GetAll()
			return err
		}
	}
	count := func(tx *client.Transaction) error {
		_, err := queued.NewAggregationQuery().WithCount("n").Transaction(tx).Get(context.Background())
		return err
	}
	set := func(ref, state string, n int) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := other.Doc(ref).Set(ctx, map[string]any{"status": state, "n": n})
			return err
		}
	}
	remove := func(ref string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := other.Doc(ref).Delete(ctx)
			return err
		}
	}
	for _, tt := range []struct {
		name    string
		read    func(*client.Transaction) error
		write   func(context.Context) error
		retried bool
	}{
		{"document changes", get("c/a"), set("c/a", "running", 1), true},
		{"document is deleted", get("c/a"), remove("c/a"), true},
		{"document is created", get("c/none"), set("c/none", "x", 1), true},
		{"another document changes", get("c/a"), set("c/b", "running", 2), false},
		{"write does not change the document", get("c/a"), set("c/a", "queued", 1), false},
		{"result changes", run(queued), set("c/b", "queued", 3), true},
		{"result does not match any more", run(queued), set("c/b", "running", 2), true},
		{"result is deleted", run(queued), remove("c/b"), true},
		{"new result", run(queued), set("c/new", "queued", 0), true},
		{"document that does not match changes", run(queued), set("c/z", "running", 9), false},
		{"new result behind the limit", run(queued.Limit(1)), set("c/new", "queued", 7), false},
		{"new result within the limit", run(queued.Limit(1)), set("c/new", "queued", 0), true},
		{"count changes", count, set("c/new", "queued", 5), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, reset := range []func(context.Context) error{set("c/a", "queued", 1), set("c/b", "queued", 2), set("c/z", "running", 8), remove("c/none"), remove("c/new")} {
				require.NoError(t, reset(t.Context()))
			}
			attempts := 0
			err := c.RunTransaction(t.Context(), func(_ context.Context, tx *client.Transaction) error {
				attempts++
				if err := tt.read(tx); err != nil {
					return err
				}
				if attempts == 1 {
					if err := tt.write(t.Context()); err != nil {
						return err
					}
				}
				return tx.Set(c.Doc("out/x"), map[string]any{"n": attempts})
			})
			require.NoError(t, err)
			require.Equal(t, map[bool]int{true: 2, false: 1}[tt.retried], attempts)
		})
	}
}

func TestReadOnlyTransactionsReadOneSnapshot(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	doc := c.Doc("c/d")
	_, err := doc.Set(t.Context(), map[string]any{"n": 1})
	require.NoError(t, err)
	var first time.Time
	err = c.RunTransaction(t.Context(), func(_ context.Context, tx *client.Transaction) error {
		for range 2 {
			snap, err := tx.Get(doc)
			require.NoError(t, err)
			require.Equal(t, map[string]any{"n": int64(1)}, snap.Data())
			if first.IsZero() {
				first = snap.ReadTime
			}
			require.Equal(t, first, snap.ReadTime)
			_, err = doc.Set(t.Context(), map[string]any{"n": 2})
			require.NoError(t, err)
		}
		docs, err := tx.Documents(c.Collection("c").Where("n", "==", 1)).GetAll()
		require.NoError(t, err)
		require.Len(t, docs, 1)
		return nil
	}, client.ReadOnly)
	require.NoError(t, err)

	var past *client.DocumentSnapshot
	read := func(_ context.Context, tx *client.Transaction) (err error) {
		past, err = tx.Get(doc)
		return err
	}
	require.NoError(t, c.RunTransaction(t.Context(), read, client.ReadOnly, client.TransactionReadTime(first)))
	require.Equal(t, map[string]any{"n": int64(1)}, past.Data())
	require.Equal(t, first, past.ReadTime)
}

func TestReadTimesInTransactions(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	w, err := c.Doc("c/d").Set(t.Context(), map[string]any{})
	require.NoError(t, err)
	err = c.RunTransaction(t.Context(), func(_ context.Context, tx *client.Transaction) error {
		docs, err := tx.GetAll([]*client.DocumentRef{c.Doc("c/d"), c.Doc("c/none")})
		require.NoError(t, err)
		for _, d := range docs {
			require.False(t, d.ReadTime.Before(w.UpdateTime), d.Ref.ID)
		}
		return nil
	})
	require.NoError(t, err)
}

func newClock() *emulatortest.Clock {
	return emulatortest.NewFrozenClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
}

func TestTransactionsExpire(t *testing.T) {
	clk := newClock()
	raw := start(t, firestore.Options{Now: clk.Now}).raw(t)
	begin := func() []byte {
		r, err := raw.BeginTransaction(t.Context(), &pb.BeginTransactionRequest{Database: database})
		require.NoError(t, err)
		return r.GetTransaction()
	}
	get := func(id []byte) codes.Code {
		_, err := raw.GetDocument(t.Context(), &pb.GetDocumentRequest{Name: root + "/c/d", ConsistencySelector: &pb.GetDocumentRequest_Transaction{Transaction: id}})
		return status.Code(err)
	}
	idle, busy := begin(), begin()
	for range 4 {
		clk.Advance(50 * time.Second)
		require.Equal(t, codes.NotFound, get(busy), "still open")
	}
	require.Equal(t, codes.InvalidArgument, get(idle))
	clk.Advance(71 * time.Second)
	require.Equal(t, codes.InvalidArgument, get(busy), "no transaction lives longer than 270 s")
}

func TestTimesAreMonotonic(t *testing.T) {
	clk := newClock()
	dir := t.TempDir()
	e := start(t, firestore.Options{Dir: dir, Now: clk.Now})
	var last time.Time
	check := func(e service) {
		c := e.dial(t, "p")
		for range 5 {
			w, err := c.Doc("c/d").Set(t.Context(), map[string]any{"at": client.ServerTimestamp})
			require.NoError(t, err)
			require.True(t, w.UpdateTime.After(last), "a commit time is after all earlier times")
			snap, err := c.Doc("c/d").Get(t.Context())
			require.NoError(t, err)
			require.False(t, snap.ReadTime.Before(w.UpdateTime))
			last = snap.ReadTime
		}
	}
	check(e)
	clk.Advance(-time.Hour)
	check(e)
	e.Close()
	check(start(t, firestore.Options{Dir: dir, Now: clk.Now}))
}

func TestTimeToLive(t *testing.T) {
	clk := newClock()
	e := start(t, firestore.Options{Now: clk.Now, TTL: map[string]string{"sessions": "expiry.at"}})
	c := e.dial(t, "p")
	for id, at := range map[string]any{"soon": clk.Now().Add(time.Minute), "later": clk.Now().Add(time.Hour), "never": nil, "text": "2000"} {
		_, err := c.Doc("users/u/sessions/"+id).Set(t.Context(), map[string]any{"expiry": map[string]any{"at": at}})
		require.NoError(t, err)
	}
	n, err := e.Server.DeleteExpired(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	clk.Advance(2 * time.Minute)
	n, err = e.Server.DeleteExpired(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []string{"later", "never", "text"}, ids(t, c.CollectionGroup("sessions").Query))
}

// TestReadsContinueAfterTransactionEnds rolls read-only transactions back during their reads.
func TestReadsContinueAfterTransactionEnds(t *testing.T) {
	raw := start(t, firestore.Options{}).raw(t)
	for range 50 {
		r, err := raw.BeginTransaction(t.Context(), &pb.BeginTransactionRequest{Database: database, Options: &pb.TransactionOptions{
			Mode: &pb.TransactionOptions_ReadOnly_{ReadOnly: &pb.TransactionOptions_ReadOnly{}}}})
		require.NoError(t, err)
		var g errgroup.Group
		for range 4 {
			g.Go(func() error {
				_, err := raw.GetDocument(t.Context(), &pb.GetDocumentRequest{Name: root + "/c/d", ConsistencySelector: &pb.GetDocumentRequest_Transaction{Transaction: r.GetTransaction()}})
				if c := status.Code(err); c != codes.NotFound && c != codes.InvalidArgument {
					return err
				}
				return nil
			})
		}
		_, err = raw.Rollback(t.Context(), &pb.RollbackRequest{Database: database, Transaction: r.GetTransaction()})
		require.NoError(t, err)
		require.NoError(t, g.Wait())
	}
}
