// Package membership knows which processes take part in an installation, and which of them leads.
//
// A Member keeps the session of this process: its lease, on which all its work depends. A View is this process's copy
// of the fleet document. A Leader takes part in the election over that document; while it leads, it publishes the
// fleet, finds expired sessions, and runs what only the leader does.
//
// Only Firestore's clock and this machine's monotonic clock count. The package never changes an execution: what an
// expired session held is queued again by the caller's OnExpired.
package membership
