package firestore_test

import (
	"fmt"
	"testing"
	"time"

	client "cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/emulator/firestore"
)

func TestExecutions(t *testing.T) {
	e := start(t, firestore.Options{})
	c := e.dial(t, "p")
	ctx := t.Context()
	base := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 60 {
		owner := []string{"ann", "bob"}[i%2]
		doc := c.Doc(fmt.Sprintf("tenants/%s/executions/e%02d", owner, i))
		_, err := doc.Create(ctx, map[string]any{"status": []string{"queued", "running"}[i/2%2], "due": base.Add(time.Duration(i) * time.Second), "n": i})
		require.NoError(t, err)
	}
	_, err := c.Doc("tenants/ann/executions/e00").Create(ctx, map[string]any{})
	require.Equal(t, codes.AlreadyExists, status.Code(err))
	snap, err := c.Doc("tenants/ann/executions/none").Get(ctx)
	require.Equal(t, codes.NotFound, status.Code(err))
	require.False(t, snap.ReadTime.IsZero())

	due, err := c.CollectionGroup("executions").Where("due", "<=", base.Add(10*time.Second)).OrderBy("due", client.Asc).Limit(5).Documents(ctx).GetAll()
	require.NoError(t, err)
	require.Len(t, due, 5)
	require.Equal(t, "e04", due[4].Ref.ID)

	queued, err := c.Collection("tenants/ann/executions").Where("status", "==", "queued").OrderBy("due", client.Desc).Limit(3).Documents(ctx).GetAll()
	require.NoError(t, err)
	require.Len(t, queued, 3)
	require.Equal(t, "e56", queued[0].Ref.ID)

	all := c.CollectionGroup("executions").Where("status", "==", "queued")
	count, err := all.NewAggregationQuery().WithCount("all").Get(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 30, count["all"].(interface{ GetIntegerValue() int64 }).GetIntegerValue())

	_, err = c.Doc("tenants/ann/executions/e00").Update(ctx, []client.Update{{Path: "status", Value: "done"}, {Path: "at", Value: client.ServerTimestamp}})
	require.NoError(t, err)
	_, err = c.Doc("tenants/ann/executions/e00").Delete(ctx)
	require.NoError(t, err)
}
