// Package webhook is the domain of telling somebody else's server that
// something has ended: what is told, how it is signed, and when it is tried
// again. It follows Standard Webhooks 1.0 and knows no database or network.
package webhook

import (
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/airlock-run/airlock/internal/domain/id"
)

// State is where a delivery is on its way:
//
//	pending ──> delivered | refused | exhausted
type State string

// The states there are.
const (
	Pending   State = "pending"   // to be sent, or sent again
	Delivered State = "delivered" // the receiver has answered with a 2xx
	Refused   State = "refused"   // the receiver has answered with 410: it wants no more of this
	Exhausted State = "exhausted" // the last attempt has failed
)

// Ref names a delivery. There is no reading of one without its tenant.
type Ref struct {
	Tenant string `firestore:"tenant"`
	ID     string `firestore:"id"`
}

// Delivery is one message on its way to one receiver. It is made in the
// transaction that ends what it tells of, so that none is lost. Its Firestore
// document is this struct; all times are Firestore's.
type Delivery struct {
	ID        string `firestore:"id"` // is the message's as well, the same in every attempt
	Tenant    string `firestore:"tenant"`
	SubjectID string `firestore:"subject"` // ID of the execution or the batch that has ended
	Type      Type   `firestore:"type"`
	URL       string `firestore:"url"`
	Body      string `firestore:"body"` // JSON, sent to the byte in every attempt

	State      State         `firestore:"state"`
	Attempt    int           `firestore:"attempt"` // number of the newest; 0 before the first
	LastResult AttemptResult `firestore:"last"`    // of the newest attempt that was answered for

	// Due is when the next attempt may begin; nil exactly when State is not Pending.
	Due        *time.Time `firestore:"due"`
	CreatedAt  time.Time  `firestore:"createdAt"`
	FinishedAt *time.Time `firestore:"finishedAt"`
}

// Answer is what an attempt came to.
type AttemptResult struct {
	Status int    `firestore:"status"` // of HTTP; 0: there was no answer
	Reason Reason `firestore:"reason"` // why there was none; empty when there was
}

// Reason says why there was no answer, without saying anything of the network
// that Airlock runs in.
type Reason string

// The reasons there are.
const (
	AddressRefused Reason = "address_refused" // the name leads to an address that is not public
	BadCertificate Reason = "bad_certificate" // the receiver's certificate is not to be trusted
	TimedOut       Reason = "timed_out"       // the receiver took too long
	Unreachable    Reason = "unreachable"     // anything else: no such name, nobody listens, the connection broke
)

// Timeout bounds one attempt. It is shorter than every wait between two, so
// that an attempt has ended, one way or the other, before the next begins.
const AttemptTimeout = 10 * time.Second

// waits are those after each attempt but the last, give or take a fifth: a day
// in all, so that a receiver that breaks in the evening can be mended in the morning.
var backoffSchedule = []time.Duration{
	20 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute,
	2 * time.Hour, 4 * time.Hour, 7 * time.Hour, 10 * time.Hour,
}

// MaxAttempts is after how many a delivery is given up.
var MaxAttempts = len(backoffSchedule) + 1

var (
	// ErrNotDue means that somebody else was faster.
	ErrNotDue = errors.New("the delivery is not due")
	// ErrNotEnded means that a delivery is still being tried.
	ErrNotFinished = errors.New("the delivery has not ended")
)

// ID of the delivery that tells of a subject's end. It follows from the
// subject, so that there is one, and it is found without a search.
func DeliveryID(subject string) string {
	return id.FromHash(id.Delivery, sha256.Sum256([]byte("delivery of "+subject)))
}

// Ref names the delivery.
func (d *Delivery) Ref() Ref { return Ref{Tenant: d.Tenant, ID: d.ID} }

// Claim begins the next attempt, and books the one after it: who dies in
// between has failed one attempt, and nothing has to notice. When there is none
// left the delivery is given up instead.
func (d *Delivery) Claim(now time.Time) error {
	if d.State != Pending || d.Due.After(now) {
		return ErrNotDue
	}
	if d.Attempt == MaxAttempts {
		d.finish(Exhausted, now)
		return nil
	}
	d.Attempt++
	due := now.Add(backoff(d.Attempt))
	d.Due = &due
	return nil
}

// Settle writes down what an attempt came to. A good answer counts whenever it
// comes; a bad one only of the newest attempt.
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

// Postpone lets others go first, without spending an attempt.
func (d *Delivery) Postpone(now time.Time) error {
	if d.State != Pending || d.Due.After(now) {
		return ErrNotDue
	}
	due := now.Add(jitter(10 * time.Second))
	d.Due = &due
	return nil
}

// Again makes what has ended be sent anew, with all its attempts.
func (d *Delivery) Redeliver(now time.Time) error {
	if d.State == Pending {
		return ErrNotFinished
	}
	d.State, d.Attempt, d.Due, d.FinishedAt = Pending, 0, &now, nil
	return nil
}

func (d *Delivery) finish(s State, now time.Time) { d.State, d.Due, d.FinishedAt = s, nil, &now }

// wait is how long after an attempt's beginning the next may begin.
func backoff(attempt int) time.Duration {
	return jitter(backoffSchedule[(attempt-1)%len(backoffSchedule)])
}

// jitter is d give or take a fifth.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
