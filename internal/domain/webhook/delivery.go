// Package webhook defines webhooks: the payload that reports an end, its signature, and the retries of its delivery.
// It follows Standard Webhooks 1.0.
//
// In: an execution or a batch that has ended, and the results of attempts. Out: the delivery to store, and the
// signature to send. The package never opens a connection and never reads a clock or a database.
package webhook

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/airlock-run/airlock/internal/domain/backoff"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// State is the state of a delivery:
//
//	pending ──> delivered | refused | exhausted
type State string

// The states.
const (
	Pending   State = "pending"   // an attempt is due, now or later
	Delivered State = "delivered" // the receiver has answered with a 2xx status
	Refused   State = "refused"   // the receiver has answered with 410: it wants no further attempts
	Exhausted State = "exhausted" // the last attempt has failed
)

// Ref names a delivery. Nothing is read without its tenant. See execution.Ref for why it is a type of its own.
type Ref struct {
	Tenant string
	ID     string
}

// Delivery is one message to one receiver. It is created in the transaction that ends its subject, so no message is
// lost. Its Firestore document is this struct; all times are Firestore's.
type Delivery struct {
	ID        string `firestore:"id"` // also the ID of the message, the same in every attempt
	Tenant    string `firestore:"tenant"`
	SubjectID string `firestore:"subject"` // ID of the execution or the batch that has ended
	Type      Type   `firestore:"type"`
	URL       string `firestore:"url"`
	Body      string `firestore:"body"` // JSON, the same bytes in every attempt

	State      State         `firestore:"state"`
	Attempt    int           `firestore:"attempt"` // number of the newest attempt; 0 before the first
	LastResult AttemptResult `firestore:"last"`    // of the newest attempt whose result was recorded

	// Due is when the next attempt may begin; nil exactly when State is not Pending.
	Due        *time.Time `firestore:"due"`
	CreatedAt  time.Time  `firestore:"createdAt"`
	FinishedAt *time.Time `firestore:"finishedAt"`
}

// AttemptResult is the result of one attempt.
type AttemptResult struct {
	Status int    `firestore:"status"` // HTTP status; 0: no response
	Reason Reason `firestore:"reason"` // why there was no response; empty if there was one
}

// Reason says why there was no response. It reveals nothing of the network that Airlock runs in.
type Reason string

// The reasons.
const (
	AddressRefused Reason = "address_refused" // the host resolves to an address that is not public
	BadCertificate Reason = "bad_certificate" // the receiver's certificate is not trusted
	TimedOut       Reason = "timed_out"       // the receiver took longer than AttemptTimeout
	Unreachable    Reason = "unreachable"     // any other error: unknown host, connection refused or broken
)

// AttemptTimeout bounds one attempt. It is shorter than every back-off, so an attempt has ended before the next begins.
const AttemptTimeout = 10 * time.Second

// backoffSchedule holds the waits between two attempts, each varied by up to a fifth. Their sum is a day, so that a
// receiver that fails in the evening can be fixed in the morning.
var backoffSchedule = [...]time.Duration{
	20 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute,
	2 * time.Hour, 4 * time.Hour, 7 * time.Hour, 10 * time.Hour,
}

// MaxAttempts is the number of attempts after which a delivery is exhausted.
const MaxAttempts = len(backoffSchedule) + 1

// postponement is how long a delivery waits after Postpone, varied by up to a fifth.
const postponement = 10 * time.Second

var (
	// ErrNotDue means that the delivery is not due: another dispatcher has claimed it, or it has finished.
	ErrNotDue = errors.New("the delivery is not due")
	// ErrNotFinished means that the delivery is still pending.
	ErrNotFinished = errors.New("the delivery has not finished")
)

// DeliveryID returns the ID of the delivery for a subject. The subject determines it, so there is only one, and it is
// found without a query.
func DeliveryID(subjectID string) string {
	return id.FromHash(id.Delivery, sha256.Sum256([]byte("delivery of "+subjectID)))
}

// Ref returns the name of the delivery.
func (d *Delivery) Ref() Ref { return Ref{Tenant: d.Tenant, ID: d.ID} }

// Claim begins the next attempt and schedules the one after it. If the dispatcher dies in between, this attempt has
// failed and nothing else needs to happen. If no attempt is left, the delivery becomes exhausted instead.
func (d *Delivery) Claim(now time.Time) error {
	if d.State != Pending || d.Due.After(now) {
		return ErrNotDue
	}
	if d.Attempt == MaxAttempts {
		d.finish(Exhausted, now)
		return nil
	}
	d.Attempt++
	// The last attempt has no back-off. The first one is used as the time after which Claim gives up, if the dispatcher
	// died.
	wait := backoffSchedule[(d.Attempt-1)%len(backoffSchedule)]
	d.scheduleIn(wait, now)
	return nil
}

// RecordResult records the result of an attempt. A late success counts; a late failure counts only if no newer attempt
// has begun.
func (d *Delivery) RecordResult(attempt int, result AttemptResult, now time.Time) error {
	switch {
	case d.State != Pending:
		return ErrNotDue
	case result.Status >= http.StatusOK && result.Status < http.StatusMultipleChoices:
		d.LastResult = result
		d.finish(Delivered, now)
	case result.Status == http.StatusGone:
		d.LastResult = result
		d.finish(Refused, now)
	case attempt != d.Attempt:
		return ErrNotDue
	default:
		d.LastResult = result
		if d.Attempt == MaxAttempts {
			d.finish(Exhausted, now)
		}
	}
	return nil
}

// Postpone lets other deliveries go first. It does not count as an attempt.
func (d *Delivery) Postpone(now time.Time) error {
	if d.State != Pending || d.Due.After(now) {
		return ErrNotDue
	}
	d.scheduleIn(postponement, now)
	return nil
}

// Retry sends a finished delivery again, with all its attempts.
func (d *Delivery) Retry(now time.Time) error {
	if d.State == Pending {
		return ErrNotFinished
	}
	d.State, d.Attempt, d.Due, d.FinishedAt = Pending, 0, &now, nil
	return nil
}

// scheduleIn makes the delivery due after a wait, varied by up to a fifth. The seed contains now, so two
// deliveries that are postponed together get different waits.
func (d *Delivery) scheduleIn(wait time.Duration, now time.Time) {
	due := now.Add(backoff.Jitter(wait*4/5, wait*6/5, fmt.Sprintf("%s/%d/%d", d.ID, d.Attempt, now.UnixNano())))
	d.Due = &due
}

func (d *Delivery) finish(s State, now time.Time) { d.State, d.Due, d.FinishedAt = s, nil, &now }
