package firestore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	client "cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/emulator/firestore"
)

// childDir, where set, makes this test binary the server that a test kills.
const childDir = "FIRESTORE_TEST_CHILD_DIR"

// serveAsChild never returns.
func runServerProcess(dir string) {
	s, err := firestore.Open(firestore.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	g := grpc.NewServer(grpc.MaxRecvMsgSize(firestore.MaxRequestBytes))
	s.Register(g)
	fmt.Fprintln(os.Stderr, g.Serve(l))
	os.Exit(1)
}

// child starts a server in a process of its own and returns a client, the process, and how to kill it.
func startServerProcess(t testing.TB, dir string) (*client.Client, *os.Process, func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	addr, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	c, err := client.NewClient(t.Context(), "p", option.WithEndpoint(strings.TrimSpace(addr)), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	require.NoError(t, err)
	kill := sync.OnceFunc(func() {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // says that it was killed
		require.NoError(t, c.Close())
	})
	t.Cleanup(kill)
	return c, cmd.Process, kill
}

// TestKilled kills the server in the middle of writes, again and again, and then looks for everything it had
// acknowledged: documents, what indexes say of them, and the numbers a transaction counts up.
func TestKillLosesNoAcknowledgedWrite(t *testing.T) {
	dir := t.TempDir()
	const writers, rounds = 8, 3
	acknowledged := make([][]string, writers)
	counted := make([]int64, writers)
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
						return // killed: this one was not acknowledged
					}
					acknowledged[w] = append(acknowledged[w], id)
					counted[w]++
					progress <- struct{}{}
				}
			})
		}
		for range 300 {
			<-progress
		}
		// Once there are documents enough, the index for this is being built and kept while the kill comes.
		_, err := c.Collection("c").Where("writer", "==", 0).OrderBy("i", client.Asc).Limit(1).Documents(ctx).GetAll()
		require.NoError(t, err)
		for range 100 {
			<-progress
		}
		go kill()
		kill() // returns when the first call has
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
			require.True(t, found[id], "%s was acknowledged and is gone", id)
		}
		// At most the one write under way at each kill is there without having been acknowledged.
		require.LessOrEqual(t, len(found), len(acknowledged[w])+rounds)
		snap, err := c.Doc("counters/" + strconv.Itoa(w)).Get(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, len(found), snap.Data()["n"], "a batch is there whole or not at all")
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
	e.stop(t)

	_, err := c.Doc("c/000").Get(withTimeout(t, 100*time.Millisecond))
	require.Error(t, err)
	c = start(t, firestore.Options{Dir: dir}).dial(t, "p")
	_, err = c.Doc("c/395").Delete(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"388", "381"}, ids(t, q(c)), "the index is kept up after a restart")
}

func withTimeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
