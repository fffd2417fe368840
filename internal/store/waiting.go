package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The methods of this file serve the dispatcher. They read no more of an execution than a Candidate has.

var candidateFields = []string{"task.runtime", "conversationId", "batchId", "createdAt", "queuedAt"}

type candidateDocument struct {
	ConversationID string    `firestore:"conversationId"`
	BatchID        string    `firestore:"batchId"`
	QueuedAt       time.Time `firestore:"queuedAt"`
	Task           struct {
		Runtime string `firestore:"runtime"`
	} `firestore:"task"`
}

// QueuedPage is a part of the queued executions of a tenant.
type QueuedPage struct {
	Candidates []dispatch.Candidate // the oldest first
	// From and After are where the next page begins.
	From  time.Time
	After string
	Last  bool      // there were no more
	Now   time.Time // Firestore's time; zero if the page is empty
}

// Queued returns queued executions of a tenant outside of batches, the oldest first, that were accepted at a time or
// later and, of those of that time, behind the ID after unless that is empty.
func (s *Store) Queued(ctx context.Context, tenant string, from time.Time, after string, limit int) (page QueuedPage, err error) {
	page.From, page.After = from, after
	q := s.collection(tenant, executions).
		Where("lane", "==", execution.LaneInteractive).Where("status", "==", execution.Queued).
		OrderBy("createdAt", firestore.Asc).OrderBy(firestore.DocumentID, firestore.Asc)
	if after == "" {
		q = q.Where("createdAt", ">=", from)
	} else {
		q = q.StartAfter(from, after)
	}
	snaps, err := q.Limit(limit).Select(candidateFields...).Documents(ctx).GetAll()
	if err != nil {
		return page, translateError(err)
	}
	if n := len(snaps); n > 0 {
		page.From, page.After, page.Now = createdAt(snaps[n-1]), snaps[n-1].Ref.ID, snaps[n-1].ReadTime
	}
	page.Candidates, page.Last = candidates(snaps), len(snaps) < limit
	return page, nil
}

// NextQueuedTenant returns the first tenant behind after, in the order of their names, that has a queued execution in a
// lane; an empty name if there is none. It reads one document, however many are queued.
func (s *Store) NextQueuedTenant(ctx context.Context, lane execution.Lane, after string) (name string, err error) {
	q := s.client.CollectionGroup(executions).Where("lane", "==", lane).Where("status", "==", execution.Queued).
		OrderBy(firestore.DocumentID, firestore.Asc)
	if after != "" {
		q = q.StartAfter(s.collection(after, executions).Doc(behindAllIDs))
	}
	snaps, err := q.Limit(1).Select().Documents(ctx).GetAll()
	if err != nil || len(snaps) == 0 {
		return "", translateError(err)
	}
	return refOf[execution.Ref](snaps[0].Ref).Tenant, nil
}

// behindAllIDs is behind every ID in the order of names.
const behindAllIDs = "~"

// QueuedOfBatch returns queued executions of a batch.
func (s *Store) QueuedOfBatch(ctx context.Context, ref batch.Ref) ([]dispatch.Candidate, error) {
	return listCandidates(ctx, s.batchExecutions(ref).Where("status", "==", execution.Queued))
}

// Running returns the running executions of a tenant.
func (s *Store) Running(ctx context.Context, tenant string) ([]dispatch.Candidate, error) {
	return listCandidates(ctx, s.collection(tenant, executions).Where("status", "==", execution.Running))
}

func listCandidates(ctx context.Context, q firestore.Query) ([]dispatch.Candidate, error) {
	snaps, err := q.Select(candidateFields...).Documents(ctx).GetAll()
	return candidates(snaps), translateError(err)
}

// candidates leaves out what waits for its back-off, and what cannot be decoded: it could not be claimed either.
func candidates(snaps []*firestore.DocumentSnapshot) (found []dispatch.Candidate) {
	for _, snap := range snaps {
		var d candidateDocument
		if snap.DataTo(&d) == nil && !d.QueuedAt.After(snap.ReadTime) {
			found = append(found, dispatch.Candidate{
				ID: snap.Ref.ID, Runtime: d.Task.Runtime, ConversationID: d.ConversationID, BatchID: d.BatchID,
			})
		}
	}
	return found
}

func createdAt(snap *firestore.DocumentSnapshot) time.Time {
	t, _ := snap.Data()["createdAt"].(time.Time) // the query is ordered by it, so it is there
	return t
}

// maxNames is how many names one query compares. Firestore allows 30.
const maxNames = 30

// Standing is the state of an execution. Deferred is how long it waits for its next attempt yet.
type Standing struct {
	Status   execution.Status
	Runtime  string
	Deferred time.Duration
}

// Standings returns the states of executions of a tenant, by ID. One that does not exist is missing.
func (s *Store) Standings(ctx context.Context, tenant string, ids []string) (map[string]Standing, error) {
	standings := map[string]Standing{}
	for first := 0; first < len(ids); first += maxNames {
		var refs []*firestore.DocumentRef
		for _, id := range ids[first:min(first+maxNames, len(ids))] {
			refs = append(refs, s.executionDoc(execution.Ref{Tenant: tenant, ID: id}))
		}
		snaps, err := s.collection(tenant, executions).Where(firestore.DocumentID, "in", refs).Select("status", "task.runtime", "queuedAt").Documents(ctx).GetAll()
		if err != nil {
			return nil, translateError(err)
		}
		for _, snap := range snaps {
			status, _ := snap.Data()["status"].(string)
			runtime, _ := snap.DataAt("task.runtime")
			name, _ := runtime.(string)
			queuedAt, _ := snap.Data()["queuedAt"].(time.Time)
			standings[snap.Ref.ID] = Standing{Status: execution.Status(status), Runtime: name, Deferred: queuedAt.Sub(snap.ReadTime)}
		}
	}
	return standings, nil
}
