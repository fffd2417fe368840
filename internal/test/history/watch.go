package history

import (
	"context"
	"fmt"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
)

// groups are the collections that are watched, wherever they are.
var collectionGroups = []string{"executions", "conversations", "messages", "batches"}

// Watch writes down every version of every document of a project, until ctx
// ends or the stream does, and says ready once it hears of new ones. It reads
// the stream itself: Google's client tells of the newest version only, and the
// ones between are what matters here.
func (r *Recorder) Watch(ctx context.Context, conn grpc.ClientConnInterface, project string, ready func()) error {
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
	current := map[int32]bool{}
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
				ready()
			}
		}
		if cause := m.GetTargetChange().GetCause(); cause != nil {
			return fmt.Errorf("firestore ends the watch: %s", cause.Message)
		}
	}
}

func (r *Recorder) handleResponse(m *pb.ListenResponse) {
	switch {
	case m.GetDocumentChange() != nil && len(m.GetDocumentChange().RemovedTargetIds) == 0:
		r.recordVersion(decode(m.GetDocumentChange().Document))
	case m.GetDocumentDelete() != nil:
		deleted := m.GetDocumentDelete()
		r.recordVersion(Version{Path: documentPath(deleted.Document), At: deleted.ReadTime.AsTime()})
	}
}
