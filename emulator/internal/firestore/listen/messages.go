package listen

import (
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
)

// targetChange concerns all targets if there are no IDs. A time that is not zero adds a resume token.
func targetChange(kind pb.TargetChange_TargetChangeType, at document.Time, ids ...int32) *pb.ListenResponse {
	c := &pb.TargetChange{TargetChangeType: kind, TargetIds: ids}
	if at != 0 {
		c.ReadTime, c.ResumeToken = at.Proto(), resumeToken(at)
	}
	return &pb.ListenResponse{ResponseType: &pb.ListenResponse_TargetChange{TargetChange: c}}
}

func (t *target) documentChange(d *document.Document) *pb.ListenResponse {
	if t.query != nil {
		d = t.query.Project(d)
	}
	return &pb.ListenResponse{ResponseType: &pb.ListenResponse_DocumentChange{
		DocumentChange: &pb.DocumentChange{Document: d.Proto(t.db), TargetIds: []int32{t.id}},
	}}
}

func documentDelete(full string, at document.Time, id int32) *pb.ListenResponse {
	return &pb.ListenResponse{ResponseType: &pb.ListenResponse_DocumentDelete{
		DocumentDelete: &pb.DocumentDelete{Document: full, ReadTime: at.Proto(), RemovedTargetIds: []int32{id}},
	}}
}

func documentRemove(full string, at document.Time, id int32) *pb.ListenResponse {
	return &pb.ListenResponse{ResponseType: &pb.ListenResponse_DocumentRemove{
		DocumentRemove: &pb.DocumentRemove{Document: full, ReadTime: at.Proto(), RemovedTargetIds: []int32{id}},
	}}
}
