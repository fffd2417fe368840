package emulatortest_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

// exampleTest is the testing.TB of an example.
type exampleTest struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
}

func newExampleTest() (t testing.TB, end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	e := &exampleTest{ctx: ctx}
	return e, func() {
		cancel()
		for _, f := range slices.Backward(e.cleanups) {
			f()
		}
	}
}

func (*exampleTest) Helper()                        {}
func (e *exampleTest) Context() context.Context     { return e.ctx }
func (e *exampleTest) Cleanup(f func())             { e.cleanups = append(e.cleanups, f) }
func (*exampleTest) Fatal(args ...any)              { panic(fmt.Sprint(args...)) }
func (*exampleTest) Errorf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func TestFirestoreKeepsDataWhileStopped(t *testing.T) {
	t.Parallel()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	doc := f.Client.Collection("c").Doc("d")
	_, err := doc.Create(t.Context(), map[string]any{"n": 1})
	require.NoError(t, err)

	f.Stop()
	f.Stop() // may be repeated
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = doc.Get(ctx)
	require.Error(t, err)

	f.Start()
	f.Start()
	snap, err := doc.Get(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, snap.Data()["n"])
}

func TestPubSubKeepsDataWhileStopped(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	topic := &pubsubpb.Topic{Name: "projects/" + emulatortest.Project + "/topics/topic"}
	_, err := p.Client.TopicAdminClient.CreateTopic(t.Context(), topic)
	require.NoError(t, err)
	p.Stop()
	p.Start()
	_, err = p.Client.TopicAdminClient.CreateTopic(t.Context(), topic)
	require.Equal(t, codes.AlreadyExists, status.Code(err))
}

func TestCloseReleasesTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := emulatortest.StartFirestore(t, firestoreemulator.Options{Dir: dir})
	_, err := first.Client.Doc("c/d").Create(t.Context(), map[string]any{"n": 1})
	require.NoError(t, err)
	first.Close()
	first.Close() // may be repeated
	second := emulatortest.StartFirestore(t, firestoreemulator.Options{Dir: dir})
	_, err = second.Client.Doc("c/d").Get(t.Context())
	require.NoError(t, err)
}

func TestInterceptLosesReply(t *testing.T) {
	t.Parallel()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	var lost atomic.Int32
	f.Intercept(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		reply, err := handle(ctx, req)
		if lost.Load() == 0 && info.FullMethod == "/google.firestore.v1.Firestore/Commit" {
			lost.Add(1)
			return nil, status.Error(codes.Unavailable, "reply lost")
		}
		return reply, err
	})
	_, err := f.Client.Doc("c/d").Create(t.Context(), map[string]any{"n": 1})
	require.Equal(t, codes.AlreadyExists, status.Code(err), "the client repeats the write, which had taken effect")
	require.EqualValues(t, 1, lost.Load())
}
