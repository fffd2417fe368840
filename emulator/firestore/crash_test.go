package firestore_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	client "cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/emulator/internal/crashtest"
)

// startServerProcess starts a server in a process of its own. It returns a client, the process, and a function that
// kills the process and closes the client.
func startServerProcess(t testing.TB, dir string) (c *client.Client, p *crashtest.Process, kill func()) {
	t.Helper()
	p = crashtest.Start(t, dir)
	c, err := client.NewClient(t.Context(), "p", option.WithEndpoint(p.Address), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	require.NoError(t, err)
	kill = sync.OnceFunc(func() {
		p.Kill()
		require.NoError(t, c.Close()) // otherwise its calls retry for seconds
	})
	t.Cleanup(kill)
	return c, p, kill
}

// TestKillLosesNoAcknowledgedWrite kills the server several times during writes. Then it checks that everything the
// server had acknowledged exists: the documents, their index entries, and the counters.
func TestKillLosesNoAcknowledgedWrite(t *testing.T) {
	dir := t.TempDir()
	const writers, rounds = 8, 3
	acknowledged := make([][]string, writers)
	for round := range rounds {
		c, _, kill := startServerProcess(t, dir)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		progress := make(chan struct{}, 1<<16)
		for w := range writers {
			wg.Go(func() {
				counter := c.Doc("counters/" + strconv.Itoa(w))
				for i := 0; ctx.Err() == nil; i++ {
					id := fmt.Sprintf("%d-%d-%d", round, w, i)
					err := commitWrites(ctx, c, func(tx *client.Transaction) error {
						return errors.Join(
							tx.Create(c.Doc("c/"+id), map[string]any{"writer": w, "i": i}),
							tx.Set(counter, map[string]any{"n": client.Increment(1)}, client.MergeAll))
					})
					if err != nil {
						return // the server was killed and has not acknowledged this write
					}
					acknowledged[w] = append(acknowledged[w], id)
					progress <- struct{}{}
				}
			})
		}
		for range 300 {
			<-progress
		}
		// As soon as there are enough documents, this query builds an index, which the writes until the kill update.
		_, err := c.Collection("c").Where("writer", "==", 0).OrderBy("i", client.Asc).Limit(1).Documents(ctx).GetAll()
		require.NoError(t, err)
		for range 100 {
			<-progress
		}
		kill()
		cancel()
		wg.Wait()
	}

	e := start(t, firestore.Options{Dir: dir})
	c := e.dial(t, "p")
	for w := range writers {
		found := map[string]bool{}
		for _, id := range ids(t, c.Collection("c").Where("writer", "==", w).OrderBy("i", client.Asc)) {
			found[id] = true
		}
		for _, id := range acknowledged[w] {
			require.True(t, found[id], "%s was acknowledged and is lost", id)
		}
		// At each kill, at most one write of each writer is stored but not acknowledged.
		require.LessOrEqual(t, len(found), len(acknowledged[w])+rounds)
		snap, err := c.Doc("counters/" + strconv.Itoa(w)).Get(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, len(found), snap.Data()["n"], "a commit is stored completely or not at all")
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	e := start(t, firestore.Options{Dir: dir})
	c := e.dial(t, "p")
	require.NoError(t, commitWrites(t.Context(), c, func(tx *client.Transaction) (err error) {
		for i := range 400 {
			err = errors.Join(err, tx.Set(c.Doc(fmt.Sprintf("c/%03d", i)), map[string]any{"n": i % 7, "m": -i}))
		}
		return err
	}))
	q := func(c *client.Client) client.Query {
		return c.Collection("c").Where("n", "==", 3).OrderBy("m", client.Asc).Limit(2)
	}
	require.Equal(t, []string{"395", "388"}, ids(t, q(c)))
	e.Close()

	_, err := c.Doc("c/000").Get(withTimeout(t, 100*time.Millisecond))
	require.Error(t, err)
	c = start(t, firestore.Options{Dir: dir}).dial(t, "p")
	_, err = c.Doc("c/395").Delete(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"388", "381"}, ids(t, q(c)), "commits still update the index after a restart")
}

func withTimeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
