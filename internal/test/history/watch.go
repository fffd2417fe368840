package history

import (
	"context"
	"fmt"
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Watch records the Firestore at an address from now until the test ends. It opens the stream again after an error.
// Each time that the new stream is current, reconnected receives a value.
func Watch(t testing.TB, address, project string) (r *Recorder, reconnected <-chan struct{}) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	r = new(Recorder)
	ctx, cancel := context.WithCancel(context.Background())
	current := make(chan struct{}, 1)
	var group errgroup.Group
	group.Go(func() error {
		for ctx.Err() == nil {
			_ = r.watch(ctx, conn, project, func() { // fails with ctx, or with Firestore
				select {
				case current <- struct{}{}:
				default:
				}
			})
		}
		return nil
	})
	t.Cleanup(func() {
		cancel()
		require.NoError(t, group.Wait())
		require.NoError(t, conn.Close())
	})
	<-current
	return r, current
}

// watch records every version of every document of the recorded collections until ctx or the stream ends. It calls
// onCurrent when the stream has sent all existing documents. It reads the listen stream itself, because Google's client
// passes on only the newest of several versions.
func (r *Recorder) watch(ctx context.Context, conn grpc.ClientConnInterface, project string, onCurrent func()) error {
	database := fmt.Sprintf("projects/%s/databases/(default)", project)
	stream, err := pb.NewFirestoreClient(conn).Listen(ctx)
	if err != nil {
		return err
	}
	for i, group := range collectionGroups {
		if err := stream.Send(&pb.ListenRequest{
			Database: database,
			TargetChange: &pb.ListenRequest_AddTarget{AddTarget: &pb.Target{
				TargetId: int32(i + 1),
				TargetType: &pb.Target_Query{Query: &pb.Target_QueryTarget{
					Parent: database + "/documents",
					QueryType: &pb.Target_QueryTarget_StructuredQuery{StructuredQuery: &pb.StructuredQuery{
						From: []*pb.StructuredQuery_CollectionSelector{{CollectionId: group, AllDescendants: true}},
					}},
				}},
			}},
		}); err != nil {
			return err
		}
	}
	current := map[int32]bool{} // by target
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		r.handleResponse(m)
		if c := m.GetTargetChange(); c.GetTargetChangeType() == pb.TargetChange_CURRENT && len(current) < len(collectionGroups) {
			for _, id := range c.TargetIds {
				current[id] = true
			}
			if len(current) == len(collectionGroups) {
				onCurrent()
			}
		}
		if cause := m.GetTargetChange().GetCause(); cause != nil {
			return fmt.Errorf("firestore ended the watch: %s", cause.Message)
		}
	}
}

func (r *Recorder) handleResponse(m *pb.ListenResponse) {
	switch {
	case m.GetDocumentChange() != nil && len(m.GetDocumentChange().RemovedTargetIds) == 0:
		r.recordDocument(m.GetDocumentChange().Document)
	case m.GetDocumentDelete() != nil:
		deleted := m.GetDocumentDelete()
		r.recordVersion(Version{Path: documentPath(deleted.Document), At: deleted.ReadTime.AsTime()})
	}
}
