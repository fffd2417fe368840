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
	"github.com/airlock-run/airlock/internal/test/history"
)

// emulators are Firestore and Pub/Sub as one process. With a folder they can be
// killed and started again with the same addresses and data.
type emulators struct {
	t                 *testing.T
	dir               string // of their data; empty: in memory
	firestore, pubsub string // addresses
	process           *process
}

// indexesFile are the indexes that are deployed: the emulators refuse the queries that have none.
const indexesFile = "../../../infra/firestore.indexes.json"

func (e *emulators) start() {
	e.t.Helper()
	args := []string{"emulators", "--firestore", e.firestore, "--pubsub", e.pubsub, "--firestore-indexes", indexesFile}
	if e.dir == "" {
		args = append(args, "--memory")
	} else {
		args = append(args, "--data", e.dir)
	}
	e.process = program{name: "airlock", args: args}.start(e.t)
	e.firestore = e.process.awaitLine(e.t, `FIRESTORE_EMULATOR_HOST=(\S+)`)
	e.pubsub = e.process.awaitLine(e.t, `PUBSUB_EMULATOR_HOST=(\S+)`)
}

func (e *emulators) kill() {
	e.t.Helper()
	e.process.signalAndWait(e.t, syscall.SIGKILL)
}

// newPersistentFaultCluster starts everything except executors, with emulators
// that store their data in a folder. A test can kill them, but it cannot change
// their clock or intercept their calls.
func newPersistentFaultCluster(t *testing.T, dir string, apiEnv ...string) *faultCluster {
	t.Helper()
	e := &emulators{t: t, dir: dir, firestore: "127.0.0.1:0", pubsub: "127.0.0.1:0"}
	e.start()
	client, err := pubsub.NewClient(t.Context(), emulatortest.Project, option.WithEndpoint(e.pubsub), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	l := &faultCluster{emulators: e, pubsub: client}
	l.recorder, l.recorderReady = history.Watch(t, e.firestore, emulatortest.Project)
	l.startCluster(t, e.firestore, e.pubsub, apiEnv...)
	return l
}
