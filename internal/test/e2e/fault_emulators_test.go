package e2e

import (
	"syscall"
	"testing"

	"cloud.google.com/go/pubsub/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/test/history/historytest"
)

// emulators are Firestore and Pub/Sub as a process of their own, which can be
// killed, and started again in the same place on what it has written.
type emulators struct {
	t                 *testing.T
	dir               string // of their data
	firestore, pubsub string // addresses
	process           *process
}

func (e *emulators) start() {
	e.t.Helper()
	e.process = startProgram(e.t, "airlock", nil, "emulators", "--data", e.dir, "--firestore", e.firestore, "--pubsub", e.pubsub)
	e.firestore = e.process.awaitLine(e.t, `FIRESTORE_EMULATOR_HOST=(\S+)`)
	e.pubsub = e.process.awaitLine(e.t, `PUBSUB_EMULATOR_HOST=(\S+)`)
}

func (e *emulators) kill() {
	e.t.Helper()
	e.process.signalAndWait(e.t, syscall.SIGKILL)
}

// newLabOn starts everything but executors, on emulators that keep their data
// in a folder. The lab has no say in their clock, or in what they answer.
func newPersistentFaultCluster(t *testing.T, dir string, apiEnv ...string) *faultCluster {
	t.Helper()
	e := &emulators{t: t, dir: dir, firestore: "127.0.0.1:0", pubsub: "127.0.0.1:0"}
	e.start()
	client, err := pubsub.NewClient(t.Context(), emulatortest.Project, option.WithEndpoint(e.pubsub), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	l := &faultCluster{emulators: e, pubsub: client}
	l.recorder, l.recorderReady = historytest.Watch(t, e.firestore, emulatortest.Project)
	l.startProxies(t, e.firestore, e.pubsub)
	l.startAPI(t, apiEnv...)
	return l
}
