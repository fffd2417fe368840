package firestore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	client "cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator"
	"github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/emulator/internal/smalldisk"
)

// TestFullDisk fills the disk during writes. Reads of all kinds go on, writes are refused, and everything goes on by
// itself when there is space. All that was acknowledged is there after a kill and after a restart.
func TestFullDisk(t *testing.T) {
	small := smalldisk.Mount(t, "160m")
	dir := filepath.Join(small.Dir, "data")
	c, p, kill := startServerProcess(t, dir)
	raw := dialRaw(t, p.Address)
	commit := func(i int) error {
		w := &pb.Write{Operation: &pb.Write_Update{Update: &pb.Document{
			Name:   fmt.Sprintf("%s/c/%06d", root, i),
			Fields: map[string]*pb.Value{"n": {ValueType: &pb.Value_IntegerValue{IntegerValue: int64(i)}}, "text": text(strings.Repeat("x", 20_000))},
		}}}
		_, err := raw.Commit(t.Context(), &pb.CommitRequest{Database: database, Writes: []*pb.Write{w}})
		return err
	}
	acknowledged := map[int]bool{}
	i := 0
	writeUntilFull := func() {
		filled := make(chan struct{})
		go func() { defer close(filled); small.Fill() }()
		for ; ; i++ {
			err := commit(i)
			if err == nil {
				acknowledged[i] = true
				continue
			}
			require.Contains(t, []codes.Code{codes.ResourceExhausted, codes.Unavailable}, status.Code(err), "%v", err)
			i++
			break
		}
		<-filled
	}
	requireAll := func(c *client.Client) {
		docs, err := c.Collection("c").Select("n").Documents(t.Context()).GetAll()
		require.NoError(t, err)
		found := map[int]bool{}
		for _, d := range docs {
			found[int(d.Data()["n"].(int64))] = true
		}
		for n := range acknowledged {
			require.True(t, found[n], "%d of %d was acknowledged", n, len(acknowledged))
		}
	}
	for range 3 {
		for range 50 {
			require.NoError(t, commit(i))
			acknowledged[i] = true
			i++
		}
		writeUntilFull()
		require.Equal(t, codes.ResourceExhausted, status.Code(commit(i)))
		_, err := raw.BatchWrite(t.Context(), &pb.BatchWriteRequest{Database: database})
		require.NoError(t, err)
		requireAll(c)
		_, err = c.Doc("c/none").Get(t.Context())
		require.Equal(t, codes.NotFound, status.Code(err))
		require.NoError(t, c.RunTransaction(t.Context(), func(_ context.Context, tx *client.Transaction) error {
			_, err := tx.Get(c.Doc("c/000000"))
			_, errQuery := tx.Documents(c.Collection("c").Where("n", "<", 3).OrderBy("n", client.Desc)).GetAll()
			return errors.Join(err, errQuery)
		}, client.ReadOnly))
		listener := c.Doc("c/000000").Snapshots(t.Context())
		_, err = listener.Next()
		require.NoError(t, err)
		listener.Stop()

		small.Free()
		require.Eventually(t, func() bool { return commit(i) == nil }, time.Minute, 10*time.Millisecond)
		acknowledged[i] = true
		i++
		requireAll(c)
	}
	writeUntilFull()
	kill()
	_, err := firestore.Open(firestore.Options{Dir: dir})
	require.ErrorAs(t, err, new(*emulator.FullError))
	small.Free()
	e := start(t, firestore.Options{Dir: dir})
	requireAll(e.dial(t, "p"))
}
