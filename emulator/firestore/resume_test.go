package firestore_test

import (
	"strings"
	"testing"

	client "cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/airlock-run/airlock/emulator/firestore"
)

// listenStream is one Listen stream without Google's client.
type listenStream struct {
	t      *testing.T
	stream pb.Firestore_ListenClient
	token  []byte // latest resume token
}

func openListenStream(t *testing.T, raw pb.FirestoreClient) *listenStream {
	t.Helper()
	stream, err := raw.Listen(t.Context())
	require.NoError(t, err)
	return &listenStream{t: t, stream: stream}
}

func (w *listenStream) add(target *pb.Target) {
	w.t.Helper()
	require.NoError(w.t, w.stream.Send(&pb.ListenRequest{Database: database, TargetChange: &pb.ListenRequest_AddTarget{AddTarget: target}}))
}

func (w *listenStream) remove(id int32) {
	w.t.Helper()
	require.NoError(w.t, w.stream.Send(&pb.ListenRequest{Database: database, TargetChange: &pb.ListenRequest_RemoveTarget{RemoveTarget: id}}))
}

// readUntilNoChange reads up to the next NO_CHANGE. It returns the names of target changes, and documents with a
// prefix: + for added or changed, - for no longer in the target, x for deleted.
func (w *listenStream) readUntilNoChange() []string {
	w.t.Helper()
	var out []string
	short := func(s string) string { return strings.TrimPrefix(s, root+"/") }
	for {
		r, err := w.stream.Recv()
		require.NoError(w.t, err)
		switch m := r.GetResponseType().(type) {
		case *pb.ListenResponse_DocumentChange:
			out = append(out, "+"+short(m.DocumentChange.GetDocument().GetName()))
		case *pb.ListenResponse_DocumentRemove:
			out = append(out, "-"+short(m.DocumentRemove.GetDocument()))
		case *pb.ListenResponse_DocumentDelete:
			out = append(out, "x"+short(m.DocumentDelete.GetDocument()))
		case *pb.ListenResponse_TargetChange:
			c := m.TargetChange
			if c.GetResumeToken() != nil {
				w.token = c.GetResumeToken()
			}
			if c.GetTargetChangeType() == pb.TargetChange_NO_CHANGE {
				require.NotNil(w.t, c.GetReadTime())
				return out
			}
			out = append(out, c.GetTargetChangeType().String())
		}
	}
}

func documentTarget(id int32, docs ...string) *pb.Target {
	d := &pb.Target_DocumentsTarget{}
	for _, doc := range docs {
		d.Documents = append(d.Documents, root+"/"+doc)
	}
	return &pb.Target{TargetId: id, TargetType: &pb.Target_Documents{Documents: d}}
}

func queryTarget(id int32, limit int) *pb.Target {
	q := &pb.StructuredQuery{
		From: []*pb.StructuredQuery_CollectionSelector{{CollectionId: "c"}},
		Where: &pb.StructuredQuery_Filter{FilterType: &pb.StructuredQuery_Filter_FieldFilter{FieldFilter: &pb.StructuredQuery_FieldFilter{
			Field: &pb.StructuredQuery_FieldReference{FieldPath: "s"}, Op: pb.StructuredQuery_FieldFilter_EQUAL, Value: text("on")}}},
	}
	if limit > 0 {
		q.Limit = wrapperspb.Int32(int32(limit))
	}
	return &pb.Target{TargetId: id, TargetType: &pb.Target_Query{Query: &pb.Target_QueryTarget{
		Parent: root, QueryType: &pb.Target_QueryTarget_StructuredQuery{StructuredQuery: q}}}}
}

func TestListenMultipleTargets(t *testing.T) {
	e := start(t, firestore.Options{})
	c, w := e.dial(t, "p"), openListenStream(t, e.raw(t))
	set := func(doc, s string) {
		_, err := c.Doc(doc).Set(t.Context(), map[string]any{"s": s})
		require.NoError(t, err)
	}
	set("c/a", "on")
	wantEvents := func(want ...string) {
		t.Helper()
		require.Empty(t, cmp.Diff(want, w.readUntilNoChange()))
	}
	w.add(documentTarget(1, "c/a", "c/b"))
	wantEvents("ADD", "+c/a", "xc/b", "CURRENT")
	w.add(queryTarget(2, 0))
	wantEvents("ADD", "+c/a", "CURRENT")
	set("c/z", "on")
	wantEvents("+c/z")
	set("c/z", "off")
	wantEvents("-c/z")
	w.remove(2)
	r, err := w.stream.Recv()
	require.NoError(t, err)
	require.Equal(t, pb.TargetChange_REMOVE, r.GetTargetChange().GetTargetChangeType())
	set("c/b", "on")
	wantEvents("+c/b")

	once := queryTarget(3, 0)
	once.Once = true
	w.add(once)
	wantEvents("ADD", "+c/a", "+c/b", "CURRENT", "REMOVE")

	w.add(&pb.Target{TargetId: 4})
	r, err = w.stream.Recv()
	require.NoError(t, err)
	require.Equal(t, pb.TargetChange_REMOVE, r.GetTargetChange().GetTargetChangeType())
	require.EqualValues(t, codes.InvalidArgument, r.GetTargetChange().GetCause().GetCode(), "an invalid target does not end the stream")
}

func TestListenResumeToken(t *testing.T) {
	for name, limit := range map[string]int{"query": 0, "limited query": 3} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := start(t, firestore.Options{Dir: dir})
			b := e.dial(t, "p")
			set := func(c *client.Client, doc, s string) {
				_, err := c.Doc(doc).Set(t.Context(), map[string]any{"s": s})
				require.NoError(t, err)
			}
			for _, doc := range []string{"c/a", "c/b", "c/c"} {
				set(b, doc, "on")
			}
			first := openListenStream(t, e.raw(t))
			first.add(queryTarget(1, limit))
			require.Empty(t, cmp.Diff([]string{"ADD", "+c/a", "+c/b", "+c/c", "CURRENT"}, first.readUntilNoChange()))
			e.Close()

			// The server restarts and documents change while the client is not connected.
			e = start(t, firestore.Options{Dir: dir})
			c := e.dial(t, "p")
			set(c, "c/a", "off")
			_, err := c.Doc("c/b").Delete(t.Context())
			require.NoError(t, err)
			set(c, "c/d", "on")
			set(c, "c/e", "on")
			set(c, "c/e", "off")

			again := openListenStream(t, e.raw(t))
			target := queryTarget(1, limit)
			target.ResumeType = &pb.Target_ResumeToken{ResumeToken: first.token}
			again.add(target)
			got := again.readUntilNoChange()
			require.Equal(t, "ADD", got[0])
			require.Equal(t, "CURRENT", got[len(got)-1])
			require.ElementsMatch(t, []string{"+c/d", "-c/a", "xc/b"}, got[1:len(got)-1], "only the differences are sent")
		})
	}
}

func TestListenUnusableResumeToken(t *testing.T) {
	e := start(t, firestore.Options{})
	c, w := e.dial(t, "p"), openListenStream(t, e.raw(t))
	_, err := c.Doc("c/a").Set(t.Context(), map[string]any{"s": "on"})
	require.NoError(t, err)
	target := queryTarget(1, 0)
	target.ResumeType = &pb.Target_ResumeToken{ResumeToken: []byte{0x7f, 0, 0, 0, 0, 0, 0, 0}}
	w.add(target)
	require.Equal(t, []string{"ADD", "RESET", "+c/a", "CURRENT"}, w.readUntilNoChange(), "an unusable token starts from the beginning")
}
