package membership

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
)

// pausedProgram makes TestPausedProgram the program that another test pauses.
const pausedProgram = "AIRLOCK_TEST_PAUSED_PROGRAM"

// TestPausedProgram runs a member over the emulator of the test that has started it, and prints its sessions.
func TestPausedProgram(t *testing.T) {
	if os.Getenv(pausedProgram) == "" {
		t.Skip("it is a part of TestPausedProcessKnowsThatItsSessionIsLost")
	}
	client, err := firestore.NewClient(t.Context(), emulatortest.Project) // FIRESTORE_EMULATOR_HOST is set
	require.NoError(t, err)
	m := NewMember(MemberConfig{Store: store.New(client), Process: "paused", Kind: fleet.KindExecutor, Log: zap.NewNop()})
	go func() { _ = m.Run(context.Background()) }()
	for {
		s, err := m.Await(t.Context())
		require.NoError(t, err)
		fmt.Println("began", s.ID)
		<-s.Lost()
		fmt.Println("lost", s.ID)
	}
}

// A process that was stopped for longer than its lease knows that when it continues, before it renews: its session
// stays lost, though nobody has deleted it.
func TestPausedProcessKnowsThatItsSessionIsLost(t *testing.T) {
	t.Parallel()
	f := newFaultFixture(t)
	program := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPausedProgram$", "-test.v") //nolint:gosec // itself
	program.Env = append(os.Environ(), pausedProgram+"=1", "FIRESTORE_EMULATOR_HOST="+f.firestore.Address())
	program.Stderr = os.Stderr
	stdout, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	defer func() {
		require.NoError(t, program.Process.Kill())
		_ = program.Wait() // it was killed
	}()
	lines := bufio.NewScanner(stdout)
	next := func(prefix string) string {
		t.Helper()
		for lines.Scan() {
			if id, ok := strings.CutPrefix(lines.Text(), prefix); ok {
				return id
			}
		}
		require.FailNow(t, "the program has ended")
		return ""
	}
	first := next("began ")
	require.NoError(t, program.Process.Signal(syscall.SIGSTOP))
	s := store.New(f.firestore.Client)
	before, err := s.Session(t.Context(), first)
	require.NoError(t, err)
	f.eventually(func() bool { // it has expired in Firestore
		now, err := s.Now(t.Context())
		return err == nil && before.Expired(now)
	})
	continued := time.Now()
	require.NoError(t, program.Process.Signal(syscall.SIGCONT))
	require.Equal(t, first, next("lost "))
	require.Less(t, time.Since(continued), slack)
	require.Equal(t, "paused.2", next("began "))
	after, err := s.Session(t.Context(), first)
	require.NoError(t, err)
	require.False(t, after.RenewedAt.After(before.RenewedAt), "it was not renewed again")
}
