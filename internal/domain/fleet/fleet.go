// Package fleet defines the processes of an installation: their sessions, and what the leader publishes about all of
// them.
//
// In: sessions, which processes renew. Out: the fleet document and the owner of each partition of tenants. The package
// never reads a clock or a database: the caller passes Firestore's time.
package fleet

import (
	"errors"
	"hash/fnv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Kind says what a process is.
type Kind string

// The kinds.
const (
	KindAPI      Kind = "api"
	KindExecutor Kind = "executor"
)

// A process renews its session every RenewInterval. After SessionLease without a renewal the session has expired: the
// process must kill its jobs, and the leader queues their executions again. One lost renewal does not end a session.
const (
	RenewInterval = 5 * time.Second
	SessionLease  = 15 * time.Second
)

// ErrSessionLost means that a session has expired or does not exist any more.
var ErrSessionLost = errors.New("the session is lost")

// Partitions is the number of parts into which the tenants are divided by a hash of their names. Each part has one
// dispatcher. So at most this many executor processes dispatch.
const Partitions = 16

// Partition returns the partition of a tenant, from 0 to Partitions-1.
func Partition(tenant string) int { return hash(tenant) % Partitions }

func hash(s string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // never fails
	return int(h.Sum32() & 0x7fffffff)
}

// Session is the lease of a process. Its Firestore document is this struct. All times are Firestore's.
type Session struct {
	ID        string    `firestore:"id"`      // process.n, where n counts the sessions of the process
	Process   string    `firestore:"process"` // names its inbox
	Kind      Kind      `firestore:"kind"`
	Name      string    `firestore:"name"` // of the executor, chosen by the operator; empty for an API
	Version   string    `firestore:"version"`
	StartedAt time.Time `firestore:"startedAt,serverTimestamp"`
	RenewedAt time.Time `firestore:"renewedAt,serverTimestamp"`
	// Drain is set by an operator: the executor shall take no more executions. Executor.Draining says that it does so.
	Drain bool `firestore:"drain,omitempty"`
	// Executor is nil for an API.
	Executor *Executor `firestore:"executor,omitempty"`
}

// ProcessOf returns the process of a session.
func ProcessOf(session string) string {
	process, _, _ := strings.Cut(session, ".")
	return process
}

// Expired reports whether the session has expired at a time of Firestore.
func (s *Session) Expired(now time.Time) bool { return !now.Before(s.RenewedAt.Add(SessionLease)) }

// Executor is what an executor says about itself with each renewal.
type Executor struct {
	Slots        int               `firestore:"slots"`
	Reserved     int               `firestore:"reserved"` // slots that batches cannot use
	Busy         int               `firestore:"busy"`     // slots in use
	Runtimes     []Runtime         `firestore:"runtimes,omitempty"`
	Architecture string            `firestore:"architecture"` // of the Engine, such as amd64
	Labels       map[string]string `firestore:"labels,omitempty"`
	Pulling      bool              `firestore:"pulling"`
	Reason       string            `firestore:"reason,omitempty"` // why it does not pull, for operators
	Draining     bool              `firestore:"draining,omitempty"`
	// Endpoint is where other processes ask for the steps of its jobs; nil: nowhere.
	Endpoint *Endpoint `firestore:"endpoint,omitempty"`
	// Waiting has the weights of the tenants that wait, of those that this process dispatches for.
	Waiting []Waiting `firestore:"waiting,omitempty"`
}

// Endpoint is where other processes of Airlock reach an executor. Only they can read it.
type Endpoint struct {
	Address     string `firestore:"address"`     // host:port
	Certificate []byte `firestore:"certificate"` // that the executor shows, X.509 in DER
	Token       string `firestore:"token"`       // that the caller must send
}

// Runtime is a runtime that an executor offers.
type Runtime struct {
	Name  string `firestore:"name"`
	Image string `firestore:"image"`
	// Unavailable says why the executor cannot start it at present, for operators; empty: it can.
	Unavailable string `firestore:"unavailable,omitempty"`
}

// Fleet is what the leader publishes about all processes. Its Firestore document is this struct, and it is also the
// leader's lease: it leads until SessionLease after RenewedAt.
type Fleet struct {
	Leader    string    `firestore:"leader"` // a process
	RenewedAt time.Time `firestore:"renewedAt,serverTimestamp"`
	// Owners has the process that dispatches for each partition. Its length is Partitions; empty without an executor.
	Owners []string `firestore:"owners,omitempty"`
	// Slots are those of the executors that pull, by lane: a slot that both lanes may use counts in both.
	Slots map[execution.Lane]int `firestore:"slots,omitempty"`
	// Pools have what these executors can start, and who waits for it.
	Pools     []Pool `firestore:"pools,omitempty"`
	Executors int    `firestore:"executors"`
	APIs      int    `firestore:"apis"`
}

// Led reports whether somebody leads at a time of Firestore.
func (f *Fleet) Led(now time.Time) bool {
	return f.Leader != "" && now.Before(f.RenewedAt.Add(SessionLease))
}

// Owner returns the process that dispatches for a tenant, or empty if there is none.
func (f *Fleet) Owner(tenant string) string {
	if len(f.Owners) != Partitions {
		return ""
	}
	return f.Owners[Partition(tenant)]
}
