package execution

import "time"

// An executor holds a running execution for Lease and renews the lease every Heartbeat. The executions of an executor
// that was killed are free again after 15 s; a single lost heartbeat does not free them.
const (
	DefaultLease     = 15 * time.Second
	DefaultHeartbeat = 5 * time.Second
)
