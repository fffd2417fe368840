package pubsub_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

// The test binary runs itself as the server that is to be killed.
const childDirEnv = "AIRLOCK_PUBSUB_TEST_DIR"

func childDir() (string, bool) { return os.LookupEnv(childDirEnv) }

func runServerProcess(dir string) {
	server, err := pubsub.Open(pubsub.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	g := grpc.NewServer(grpc.MaxRecvMsgSize(pubsub.MaxRequestBytes))
	server.Register(g)
	fmt.Println(l.Addr())
	panic(g.Serve(l))
}

// startChild runs a server in a process of its own.
func startServerProcess(t testing.TB, dir string) (s *service, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	s = &service{}
	s.Client, s.conn = dial(t, strings.TrimSpace(address))
	var once sync.Once
	kill = func() {
		once.Do(func() {
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait() // "signal: killed"
			_ = s.Client.Close()
			_ = s.conn.Close()
		})
	}
	t.Cleanup(kill)
	return s, kill
}

func TestKillLosesNoAcknowledgedPublish(t *testing.T) {
	dir := t.TempDir()
	child, kill := startServerProcess(t, dir)
	child.createSub(t, nil)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var (
		mu           sync.Mutex
		acknowledged []string
		publishers   sync.WaitGroup
		enough       = make(chan struct{})
	)
	for range 8 {
		publishers.Go(func() {
			for {
				r, err := child.publisher().Publish(ctx, &pubsubpb.PublishRequest{Topic: topicName("topic"), Messages: textMessages("a", "b", "c")})
				if err != nil {
					return // killed
				}
				mu.Lock()
				if before := len(acknowledged); before < 1500 && before+3 >= 1500 {
					close(enough)
				}
				acknowledged = append(acknowledged, r.MessageIds...)
				mu.Unlock()
			}
		})
	}
	<-enough
	kill()
	cancel()
	publishers.Wait()

	s := start(t, pubsub.Options{Dir: dir})
	recovered := make(map[string]bool)
	for got := s.pull(t, "sub"); len(got) > 0; got = s.pull(t, "sub") {
		for _, m := range got {
			recovered[m.Message.MessageId] = true
		}
	}
	for _, id := range acknowledged {
		require.True(t, recovered[id], "message %s was acknowledged to the publisher", id)
	}
	for _, id := range s.publish(t, textMessages("new")...) {
		require.False(t, recovered[id], "an ID is given once")
	}
}

func TestKillKeepsExactlyOnceAcks(t *testing.T) {
	dir := t.TempDir()
	child, kill := startServerProcess(t, dir)
	child.createSub(t, &pubsubpb.Subscription{EnableExactlyOnceDelivery: true})
	child.publish(t, textMessages("a", "b", "c")...)
	before := child.pull(t, "sub")
	require.Len(t, before, 3)
	child.ack(t, "sub", before[:2]...)
	kill()

	s := start(t, pubsub.Options{Dir: dir})
	require.Equal(t, []string{"c"}, bodies(s.pull(t, "sub")))
	_, err := s.subscriber().Acknowledge(t.Context(), &pubsubpb.AcknowledgeRequest{Subscription: subName("sub"), AckIds: ackIDs(before[2:])})
	require.Equal(t, map[string]string{before[2].AckId: "PERMANENT_FAILURE_INVALID_ACK_ID"}, errorInfo(t, err), "leases end with the process")
}

// BenchmarkRecover is the time to open a directory after a kill with 100,000
// messages of 1 KiB waiting, and the heap that they then need.
func BenchmarkRecover(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		child, kill := startServerProcess(b, dir)
		publishBacklog(b, child, 100_000)
		kill()
		before := heap()
		began := time.Now()
		server, err := pubsub.Open(pubsub.Options{Dir: dir})
		require.NoError(b, err)
		b.ReportMetric(time.Since(began).Seconds(), "s/recovery")
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-heap")
		require.NoError(b, server.Close())
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSubscriptionLife is what a process costs that makes a subscription
// at its start and deletes it at its end.
func BenchmarkSubscriptionLifecycle(b *testing.B) {
	s := startDurable(b)
	s.createTopic(b, "topic")
	for b.Loop() {
		s.createSubOnly(b, "mine", &pubsubpb.Subscription{})
		_, err := s.subscriber().DeleteSubscription(b.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: subName("mine")})
		require.NoError(b, err)
	}
}
